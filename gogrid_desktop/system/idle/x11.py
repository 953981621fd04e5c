"""Idle time of an X11 session: the screensaver extension's own counter (about 0.1 ms a query).

It never counts in a Wayland session: XWayland sees the input of its own windows alone, and its counter grows while
somebody types next to them. Source: X11 Screen Saver Extension, `XScreenSaverQueryInfo`.
"""

from __future__ import annotations

from typing import Any

from gogrid_desktop.system.x11 import X11

_EXTENSION = "MIT-SCREEN-SAVER"


class X11Idle:
    name = "x11-screensaver"

    def __init__(self) -> None:
        self._server = X11(self.name)

    def idle_s(self) -> float | None:
        return self._server.ask(_idle_s)


def _idle_s(display: Any) -> float | None:
    if not display.has_extension(_EXTENSION):
        return None
    return float(display.screen().root.screensaver_query_info().idle) / 1000.0
