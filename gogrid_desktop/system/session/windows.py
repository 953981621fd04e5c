"""The session on Windows, and its sleep. Tested with faked calls; not run on real hardware.

Source: `WTSQuerySessionInformationW` with WTSINFOEX (wtsapi32.h), `GetSystemMetrics` with SM_REMOTESESSION (winuser.h),
`PowerRegisterSuspendResumeNotification` (powerbase.h), whose callback may take about two seconds before the system
sleeps. A lock and a switch of users are told to windows alone, which the agent has none of: they are seen when it
reads, and `leaving` is never "shutdown". Windows 7 swaps the two flags of a lock; this Python does not run there.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

from gogrid_desktop.core.session import Session

#: Of the about two seconds that Windows waits.
DELAY_S = 1.8

_OURS, _NONE = 0xFFFFFFFF, 0xFFFFFFFF  # WTS_CURRENT_SESSION; no session is attached to the console
_USER_NAME, _SESSION_INFO_EX = 5, 25
_ACTIVE = 0  # WTSActive
_LOCKED = {0: True, 1: False}  # WTS_SESSIONSTATE_LOCK, WTS_SESSIONSTATE_UNLOCK
_REMOTE_SESSION = 0x1000
_CALLBACK = 2  # DEVICE_NOTIFY_CALLBACK
_SUSPEND, _RESUME = 4, (7, 18)  # PBT_APMSUSPEND; PBT_APMRESUMESUSPEND, PBT_APMRESUMEAUTOMATIC


class WtsInfoExLevel1(ctypes.Structure):
    """WTSINFOEX_LEVEL1_W; its characters are UTF-16, its times 100 ns since 1601."""

    _fields_ = (
        ("SessionId", ctypes.c_uint32),
        ("SessionState", ctypes.c_int32),
        ("SessionFlags", ctypes.c_int32),
        ("WinStationName", ctypes.c_uint16 * 33),
        ("UserName", ctypes.c_uint16 * 21),
        ("DomainName", ctypes.c_uint16 * 18),
        ("Times", ctypes.c_int64 * 5),
        ("Traffic", ctypes.c_uint32 * 6),
    )


class WtsInfoEx(ctypes.Structure):
    """WTSINFOEXW."""

    _fields_ = (("Level", ctypes.c_uint32), ("Data", WtsInfoExLevel1))


class SubscribeParameters(ctypes.Structure):
    """DEVICE_NOTIFY_SUBSCRIBE_PARAMETERS."""

    _fields_ = (("Callback", ctypes.c_void_p), ("Context", ctypes.c_void_p))


class WindowsSession:
    """`windll`: the loaded system libraries; `function_type`: ctypes.WINFUNCTYPE there."""

    name = "windows-terminal-services"

    def __init__(self, windll: Any, function_type: Callable[..., Any]) -> None:
        self._windll = windll
        self._callback_type = function_type(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
        self._registration = ctypes.c_void_p()
        self._kept: tuple[Any, ...] = ()  # what Windows holds pointers to
        self._leaving = ""
        self._may_sleep = threading.Event()
        self._may_sleep.set()

    def read(self) -> Session:
        leaving = self._leaving
        said = self._ask(_OURS, _SESSION_INFO_EX, ctypes.sizeof(WtsInfoEx))
        if said is None:
            return Session(leaving=leaving)
        info = WtsInfoEx.from_buffer_copy(said)
        if info.Level != 1:
            return Session(leaving=leaving)
        active = True if info.Data.SessionState == _ACTIVE else self._nobody_else()
        return Session(
            active=active,
            locked=_LOCKED.get(info.Data.SessionFlags),
            nobody=None if active is None else False,
            remote=self._windll.user32.GetSystemMetrics(_REMOTE_SESSION) != 0,
            leaving=leaving,
        )

    def watch(self, changed: Callable[[], None]) -> None:
        """Of a sleep alone; once."""

        def told(_context: int | None, event: int, _setting: int | None) -> int:
            if event == _SUSPEND:
                self._leaving = "suspend"
                changed()
                self._may_sleep.wait(DELAY_S)
            elif event in _RESUME:
                self._leaving = ""
                changed()
            return 0

        callback = self._callback_type(told)
        parameters = SubscribeParameters(ctypes.cast(callback, ctypes.c_void_p), None)
        register = self._windll.powrprof.PowerRegisterSuspendResumeNotification
        if register(_CALLBACK, ctypes.byref(parameters), ctypes.byref(self._registration)) == 0:
            self._kept = (callback, parameters)

    def delay_sleep(self) -> bool:
        """Two seconds at most, and only while it is watched."""
        if not self._kept:
            return False
        if not self._leaving:
            self._may_sleep.clear()
        return not self._may_sleep.is_set()

    def let_sleep(self) -> None:
        self._may_sleep.set()

    def close(self) -> None:
        self.let_sleep()
        if self._kept:
            self._windll.powrprof.PowerUnregisterSuspendResumeNotification(self._registration)
            self._kept = ()

    def _nobody_else(self) -> bool | None:
        """Ours is not shown: False where somebody is at the console; None where nobody is."""
        get_console = self._windll.kernel32.WTSGetActiveConsoleSessionId
        get_console.restype = ctypes.c_uint32
        console = get_console()
        user = None if console == _NONE else self._ask(console, _USER_NAME, 2)
        return False if user is not None and user[:2] != b"\0\0" else None

    def _ask(self, session: int, what: int, at_least: int) -> bytes | None:
        buffer, size = ctypes.c_void_p(), ctypes.c_uint32()
        query = self._windll.wtsapi32.WTSQuerySessionInformationW
        if not query(None, ctypes.c_uint32(session), what, ctypes.byref(buffer), ctypes.byref(size)) or not buffer:
            return None
        try:
            return ctypes.string_at(buffer, size.value) if size.value >= at_least else None
        finally:
            self._windll.wtsapi32.WTSFreeMemory(buffer)
