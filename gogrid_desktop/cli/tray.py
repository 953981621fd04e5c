"""`gogrid tray`: the icon in the panel, and the agent with it."""

from __future__ import annotations

from typing import Annotated

import typer

from gogrid_desktop.cli import lasting


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
    lasting.tray(wait_tray if wait_tray is not None else lasting.WAIT_AT_LOGIN_S if login else lasting.WAIT_S)
