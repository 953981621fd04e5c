"""What fills the screen on Windows. Tested with faked calls; not run on real hardware.

Source: `SHQueryUserNotificationState` (shellapi.h), the window in front by `GetForegroundWindow` (winuser.h).
"""

from __future__ import annotations

import ctypes
from typing import Any

import psutil

from gogrid_desktop.core.screen import Screen

#: QUNS_BUSY (a full-screen program), QUNS_RUNNING_D3D_FULL_SCREEN, QUNS_PRESENTATION_MODE.
_FILLED = (2, 3, 4)


class WindowsScreen:
    """`windll`: the loaded system libraries, `ctypes.windll` there."""

    name = "windows-notification-state"

    def __init__(self, windll: Any) -> None:
        self._notification_state = windll.shell32.SHQueryUserNotificationState
        self._foreground_window = windll.user32.GetForegroundWindow
        self._foreground_window.restype = ctypes.c_void_p  # a handle is as wide as a pointer
        self._process_of = windll.user32.GetWindowThreadProcessId

    def read(self) -> Screen:
        state = ctypes.c_int()
        if self._notification_state(ctypes.byref(state)) != 0:
            return Screen(None)
        return Screen(True, self.front()) if state.value in _FILLED else Screen(False)

    def front(self) -> str:
        pid = ctypes.c_uint32()
        self._process_of(ctypes.c_void_p(self._foreground_window()), ctypes.byref(pid))
        try:
            return psutil.Process(pid.value).name() if pid.value else ""
        except psutil.Error:
            return ""
