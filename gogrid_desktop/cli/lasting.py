"""What runs for days: the agent and the tray. Nothing is imported here that only a command line needs."""

from __future__ import annotations

import sys

from gogrid_desktop import log
from gogrid_desktop.errors import GoGridError
from gogrid_desktop.paths import app_paths

WAIT_AT_LOGIN_S = 30.0
WAIT_S = 3.0


def agent(*, allow_plaintext: bool = False, log_level: str = "") -> int:
    """Share until stopped; the exit code."""
    from gogrid_desktop.system import host

    host.give_back_what_is_free()

    from gogrid_desktop.agent import app
    from gogrid_desktop.agent.parts import system_parts

    parts = system_parts(app_paths(), allow_plaintext=allow_plaintext)
    log.setup(log_level or parts.store.settings.log.level)
    return app.run(parts)


def tray(wait_s: float = WAIT_S) -> None:
    """Show the icon until the person quits. `wait_s`: without a place for it by then, a window stands in."""
    try:
        from gogrid_desktop.ui.app import run_tray
    except ImportError as error:
        raise GoGridError(
            f"The tray cannot be loaded: {error}.",
            'It needs PySide6 (pip install "gogrid-desktop[ui]") and the system libraries of Qt; see: gogrid doctor',
        ) from error
    log.setup()
    if not run_tray(app_paths(), wait_s):
        sys.stdout.write("GoGrid is running already: its window was brought up.\n")
