"""Whether this desktop has a place for tray icons."""

from __future__ import annotations

import os
from enum import StrEnum

from Xlib import error as xerror
from Xlib.display import Display

from gogrid_desktop.system.bounded import Bounded

_LIMIT_S = 1.0


class Tray(StrEnum):
    FOUND = "found"
    ABSENT = "absent"
    NO_DESKTOP = "no desktop"
    UNKNOWN = "unknown"


def x11_tray() -> Tray:
    """Who owns the tray's selection (System Tray Protocol Specification, freedesktop.org) on the default screen.

    A Wayland desktop shows icons by other means; there only a positive answer counts.
    """
    wayland = bool(os.environ.get("WAYLAND_DISPLAY"))
    if not os.environ.get("DISPLAY"):
        return Tray.UNKNOWN if wayland else Tray.NO_DESKTOP
    try:
        found = Bounded("x11-tray", _LIMIT_S).call(_owned)
    except (xerror.DisplayError, xerror.ConnectionClosedError, xerror.XError, OSError):
        return Tray.UNKNOWN
    if found:
        return Tray.FOUND
    return Tray.UNKNOWN if wayland else Tray.ABSENT


def _owned() -> bool:
    display = Display()
    try:
        selection = display.intern_atom(f"_NET_SYSTEM_TRAY_S{display.get_default_screen()}")
        return bool(display.get_selection_owner(selection))
    finally:
        display.close()
