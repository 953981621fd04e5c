"""An error is shown as it was written, whatever brackets it has."""

from __future__ import annotations

import pytest

from gogrid_desktop.cli import app
from gogrid_desktop.errors import BadInput


def test_what_stands_in_brackets_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise BadInput("gpu", "[red]", "a GPU", 'Install it: pip install "gogrid-desktop[coordinator]"')

    monkeypatch.setattr(app, "app", fail)
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == BadInput.exit_code
    shown = capsys.readouterr().err
    assert "gogrid-desktop[coordinator]" in shown
    assert "[red]" in shown
