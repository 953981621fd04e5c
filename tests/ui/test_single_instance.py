"""One tray per user."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pytestqt.qtbot import QtBot

from gogrid_desktop.errors import GoGridError
from gogrid_desktop.paths import AppPaths
from gogrid_desktop.ui.single import SingleInstance

SECOND = """
import sys
from PySide6.QtCore import QCoreApplication
from gogrid_desktop.paths import app_paths
from gogrid_desktop.ui.single import SingleInstance
app = QCoreApplication(sys.argv)
single = SingleInstance(app_paths())
print(single.claim())
"""


def test_the_second_shows_the_first_and_leaves(qtbot: QtBot, paths: AppPaths) -> None:
    first = SingleInstance(paths)
    assert first.claim()
    with qtbot.waitSignal(first.showRequested):
        second = subprocess.Popen([sys.executable, "-c", SECOND], stdout=subprocess.PIPE, text=True)
    assert second.communicate(timeout=20) == ("False\n", None)
    first.release()


def test_after_a_crash_the_next_one_is_the_first(qtbot: QtBot, paths: AppPaths) -> None:
    crashing = f"{SECOND}\nimport os; sys.stdout.flush(); os._exit(9)"
    crashed = subprocess.run([sys.executable, "-c", crashing], capture_output=True, text=True, timeout=20)
    assert (crashed.returncode, crashed.stdout) == (9, "True\n")
    assert (paths.runtime / "tray.sock").exists()
    it = SingleInstance(paths)
    assert it.claim()
    it.release()


def test_a_first_that_hangs_is_named(qtbot: QtBot, paths: AppPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gogrid_desktop.ui.single.ANSWER_MS", 50)
    first = SingleInstance(paths)
    assert first.claim()
    first._server.close()
    second = SingleInstance(paths)
    with pytest.raises(GoGridError, match="does not answer"):
        second.claim()
    first.release()


def test_an_address_that_is_too_long_is_an_error_with_a_remedy(
    qtbot: QtBot, paths: AppPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOGRID_HOME", str(paths.runtime / ("d" * 120)))
    from gogrid_desktop.paths import app_paths

    with pytest.raises(GoGridError, match="GOGRID_HOME"):
        SingleInstance(app_paths()).claim()
