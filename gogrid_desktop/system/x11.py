"""A connection to the X server that is asked again and again, and may go away at any time."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from Xlib import error as xerror
from Xlib.display import Display

from gogrid_desktop.system.bounded import Bounded

_LIMIT_S = 1.0
#: What python-xlib raises when there is no server, when it goes away and when it refuses.
X_ERRORS = (xerror.DisplayError, xerror.ConnectionClosedError, xerror.XError, OSError)

T = TypeVar("T")


class X11:
    """Keeps a connection of its own and makes a new one when the X server went away. `name`: for errors."""

    def __init__(self, name: str) -> None:
        self._display: Any = None
        self._server = Bounded(name, _LIMIT_S)

    def ask(self, query: Callable[[Any], T]) -> T | None:
        """What `query` says, given a `Display`; None without an X session or an answer. Never raises X's errors.

        A Wayland session is none: XWayland knows of its own windows alone.
        """
        if not x11_session():
            return None
        try:
            return self._server.call(lambda: self._ask(query))
        except X_ERRORS:
            return None

    def _ask(self, query: Callable[[Any], T]) -> T:
        if self._display is None:
            self._display = Display()
        try:
            return query(self._display)
        except (xerror.ConnectionClosedError, OSError):
            # python-xlib has closed its side already.
            self._display = None
            raise


def x11_session() -> bool:
    return bool(os.environ.get("DISPLAY")) and not wayland_session()


def wayland_session() -> bool:
    return bool(os.environ.get("WAYLAND_DISPLAY")) or os.environ.get("XDG_SESSION_TYPE") == "wayland"
