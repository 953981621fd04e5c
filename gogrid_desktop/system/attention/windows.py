"""Who keeps the display awake on Windows, and who talks. Tested with faked calls; not run on real hardware.

Source: `CallNtPowerInformation` with SystemExecutionState (powerbase.h), which names nobody. Microphone and camera
stand in the registry, where the privacy pages of the settings have them from; Microsoft documents neither keys nor
values, they are known by use: a program that has not stopped has a LastUsedTimeStop of 0. One that crashed keeps it, so
that what was started before the machine was does not count.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

from gogrid_desktop.core.attention import Attention
from gogrid_desktop.system.attention import SOMEBODY

CONSENT_STORE = r"Software\Microsoft\Windows\CurrentVersion\CapabilityAccessManager\ConsentStore"
_SYSTEM_EXECUTION_STATE = 16
_DISPLAY_REQUIRED = 2
_DEVICES = {"microphone": "microphone", "webcam": "camera"}
#: Programs without a package have a folder of their own.
_UNPACKAGED = "NonPackaged"
_FILETIME_PER_S, _FILETIME_OF_1970 = 10_000_000, 116_444_736_000_000_000


class WindowsAttention:
    """`windll`: the loaded system libraries; `registry`: the module winreg; `booted_at`: seconds since 1970."""

    name = "windows-execution-state and privacy registry"

    def __init__(self, windll: Any, registry: Any, booted_at: float) -> None:
        self._power_information = windll.powrprof.CallNtPowerInformation
        self._registry = registry
        self._booted_at = int(booted_at * _FILETIME_PER_S) + _FILETIME_OF_1970

    def read(self) -> Attention:
        return Attention(inhibitor=self._inhibitor(), call=self._call())

    def watch(self, changed: Callable[[], None]) -> None:
        """Nothing is told."""

    def _inhibitor(self) -> str | None:
        state = ctypes.c_uint32()
        size = ctypes.c_uint32(ctypes.sizeof(state))
        if self._power_information(_SYSTEM_EXECUTION_STATE, None, ctypes.c_uint32(0), ctypes.byref(state), size) != 0:
            return None
        return SOMEBODY if state.value & _DISPLAY_REQUIRED else ""

    def _call(self) -> str | None:
        known = False
        for folder, device in _DEVICES.items():
            try:
                if any(self._in_use(program) for program in self._programs(f"{CONSENT_STORE}\\{folder}")):
                    return device
            except OSError:  # Windows before 10 1903 has no such folder
                continue
            known = True
        return "" if known else None

    def _programs(self, folder: str) -> Iterator[str]:
        """Raises OSError where there is no such folder."""
        for name in self._names_in(folder):
            if name != _UNPACKAGED:
                yield f"{folder}\\{name}"
                continue
            for unpackaged in self._names_in(f"{folder}\\{name}"):
                yield f"{folder}\\{name}\\{unpackaged}"

    def _names_in(self, folder: str) -> list[str]:
        with self._registry.OpenKey(self._registry.HKEY_CURRENT_USER, folder) as key:
            return [self._registry.EnumKey(key, index) for index in range(self._registry.QueryInfoKey(key)[0])]

    def _in_use(self, folder: str) -> bool:
        try:
            with self._registry.OpenKey(self._registry.HKEY_CURRENT_USER, folder) as key:
                started, _ = self._registry.QueryValueEx(key, "LastUsedTimeStart")
                stopped, _ = self._registry.QueryValueEx(key, "LastUsedTimeStop")
        except OSError:  # it was allowed to, and never did; or it is uninstalled now
            return False
        return stopped == 0 and isinstance(started, int) and started >= self._booted_at
