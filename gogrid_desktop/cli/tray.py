"""`gogrid tray`: the icon in the panel, and the agent with it."""

from __future__ import annotations

from typing import Annotated

import typer

from gogrid_desktop import log
from gogrid_desktop.errors import GoGridError
from gogrid_desktop.paths import app_paths

WAIT_AT_LOGIN_S = 30.0
WAIT_S = 3.0


def tray(
    login: Annotated[bool, typer.Option("--login", help="Started at login: wait longer for the panel.")] = False,
    wait_tray: Annotated[
        float | None,
        typer.Option(
            "--wait-tray", min=0, max=600, metavar="SECONDS", help="Wait so long for a tray, then show a window."
        ),
    ] = None,
) -> None:
    """Show GoGrid in the tray (the agent is started if none runs)."""
    try:
        from gogrid_desktop.ui.app import run_tray
    except ImportError as error:
        raise GoGridError(
            f"The tray cannot be loaded: {error}.",
            'It needs PySide6 (pip install "gogrid-desktop[ui]") and the system libraries of Qt; see: gogrid doctor',
        ) from error
    log.setup()
    wait_s = wait_tray if wait_tray is not None else WAIT_AT_LOGIN_S if login else WAIT_S
    if not run_tray(app_paths(), wait_s):
        typer.echo("GoGrid is running already: its window was brought up.")
