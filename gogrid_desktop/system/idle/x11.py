"""Idle time of an X11 session: the screensaver extension's own counter (about 0.1 ms a query).

It never counts in a Wayland session: XWayland sees the input of its own windows alone, and its counter grows while
somebody types next to them. Source: X11 Screen Saver Extension, `XScreenSaverQueryInfo`.
"""

from __future__ import annotations

import os
from typing import Any

from Xlib import error as xerror
from Xlib.display import Display

from gogrid_desktop.system.bounded import Bounded

_EXTENSION = "MIT-SCREEN-SAVER"
_LIMIT_S = 1.0


class X11Idle:
    """Keeps a connection of its own and makes a new one when the X server went away."""

    name = "x11-screensaver"

    def __init__(self) -> None:
        self._display: Any = None
        self._server = Bounded(self.name, _LIMIT_S)

    def idle_s(self) -> float | None:
        if not os.environ.get("DISPLAY") or _wayland():
            return None
        try:
            return self._server.call(self._query)
        except (xerror.DisplayError, xerror.ConnectionClosedError, xerror.XError, OSError):
            return None

    def _query(self) -> float | None:
        if self._display is None:
            self._display = Display()
        try:
            if not self._display.has_extension(_EXTENSION):
                return None
            return float(self._display.screen().root.screensaver_query_info().idle) / 1000.0
        except (xerror.ConnectionClosedError, OSError):
            # python-xlib has closed its side already.
            self._display = None
            raise


def _wayland() -> bool:
    return bool(os.environ.get("WAYLAND_DISPLAY")) or os.environ.get("XDG_SESSION_TYPE") == "wayland"
