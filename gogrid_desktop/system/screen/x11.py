"""Full-screen windows of an X11 session, as the window manager lists them.

Source: Extended Window Manager Hints 1.5 (freedesktop.org): `_NET_CLIENT_LIST_STACKING`, `_NET_WM_STATE`. A window that
is covered by others counts, as what fills the screen is still at work; a minimised one, or one on another desktop, does
not. Without a window manager that keeps the list nothing is known.
"""

from __future__ import annotations

from typing import Any

import psutil
from Xlib import X, Xatom
from Xlib.error import BadWindow

from gogrid_desktop.core.screen import Screen
from gogrid_desktop.system.x11 import X11

_ALL_DESKTOPS = 0xFFFFFFFF


class X11Screen:
    name = "x11-window-list"

    def __init__(self) -> None:
        self._server = X11(self.name)

    def read(self) -> Screen:
        return self._server.ask(_look) or Screen(None)

    def front(self) -> str:
        return self._server.ask(_front) or ""


def _look(display: Any) -> Screen:
    root = display.screen().root
    windows = _values(display, root, "_NET_CLIENT_LIST_STACKING", Xatom.WINDOW)
    if windows is None:
        return Screen(None)
    wanted, hidden = (display.get_atom(f"_NET_WM_STATE_{name}") for name in ("FULLSCREEN", "HIDDEN"))
    (current,) = _values(display, root, "_NET_CURRENT_DESKTOP", Xatom.CARDINAL) or (_ALL_DESKTOPS,)
    for number in reversed(windows):
        window = display.create_resource_object("window", number)
        try:
            states = _values(display, window, "_NET_WM_STATE", Xatom.ATOM) or ()
            if wanted not in states or hidden in states:
                continue
            (desktop,) = _values(display, window, "_NET_WM_DESKTOP", Xatom.CARDINAL) or (current,)
            if current == _ALL_DESKTOPS or desktop in (current, _ALL_DESKTOPS):
                return Screen(True, _program(display, window))
        except BadWindow:  # closed meanwhile
            continue
    return Screen(False)


def _front(display: Any) -> str:
    (number,) = _values(display, display.screen().root, "_NET_ACTIVE_WINDOW", Xatom.WINDOW) or (X.NONE,)
    try:
        return _program(display, display.create_resource_object("window", number)) if number else ""
    except BadWindow:  # closed meanwhile
        return ""


def _values(display: Any, window: Any, name: str, kind: int) -> tuple[int, ...] | None:
    found = window.get_full_property(display.get_atom(name), kind)
    return None if found is None else tuple(found.value)


def _program(display: Any, window: Any) -> str:
    """The executable that a window says it belongs to; else the class of the window."""
    (pid,) = _values(display, window, "_NET_WM_PID", Xatom.CARDINAL) or (X.NONE,)
    try:
        return psutil.Process(pid).name() if pid else _class(window)
    except psutil.Error:  # of another machine, or in a container
        return _class(window)


def _class(window: Any) -> str:
    named = window.get_wm_class()
    return str(named[1]) if named else ""
