"""Idle time of a Windows session: `GetLastInputInfo` (winuser.h). Tested with faked calls; not run on real hardware.

It is polled: a low-level hook stands in the way of every key, and raw input hands every key to us; both look like a key
logger to whoever guards the machine, and a query is cheap.
"""

from __future__ import annotations

import ctypes
from typing import Any

from gogrid_desktop.core.idle import Kind
from gogrid_desktop.system.idle import Asked


class LastInputInfo(ctypes.Structure):
    """LASTINPUTINFO: its own size, and the tick count in ms of the last input."""

    _fields_ = (("cbSize", ctypes.c_uint32), ("dwTime", ctypes.c_uint32))


class WindowsIdle(Asked):
    """`windll`: the loaded system libraries, `ctypes.windll` there."""

    name = "windows-last-input"
    kind = Kind.COUNTER

    def __init__(self, windll: Any) -> None:
        self._last_input_info = windll.user32.GetLastInputInfo
        self._tick_count = windll.kernel32.GetTickCount

    def idle_s(self) -> float | None:
        info = LastInputInfo(ctypes.sizeof(LastInputInfo), 0)
        if not self._last_input_info(ctypes.byref(info)):
            return None
        # Both are counts of 32 bits that begin anew every 49.7 days; GetTickCount comes back signed.
        return float((self._tick_count() - info.dwTime) % 2**32) / 1000.0
