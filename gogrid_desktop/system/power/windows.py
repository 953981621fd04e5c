"""Power on Windows: `GetSystemPowerStatus` (winbase.h). Tested with faked calls; not run on real hardware."""

from __future__ import annotations

import ctypes
from typing import Any

from gogrid_desktop.core.power import Power

_NO_BATTERY, _UNKNOWN = 128, 255


class SystemPowerStatus(ctypes.Structure):
    """SYSTEM_POWER_STATUS: 255 means unknown in the first three, all bits set in the times (seconds)."""

    _fields_ = (
        ("ACLineStatus", ctypes.c_uint8),
        ("BatteryFlag", ctypes.c_uint8),
        ("BatteryLifePercent", ctypes.c_uint8),
        ("SystemStatusFlag", ctypes.c_uint8),
        ("BatteryLifeTime", ctypes.c_uint32),
        ("BatteryFullLifeTime", ctypes.c_uint32),
    )


class WindowsPower:
    """`windll`: the loaded system libraries, `ctypes.windll` there. A UPS is a battery to Windows."""

    name = "windows-power-status"

    def __init__(self, windll: Any) -> None:
        self._system_power_status = windll.kernel32.GetSystemPowerStatus

    def read(self) -> Power:
        status = SystemPowerStatus()
        if not self._system_power_status(ctypes.byref(status)):
            return Power(None)
        flag, percent = int(status.BatteryFlag), int(status.BatteryLifePercent)
        if flag != _UNKNOWN and flag & _NO_BATTERY:
            return Power(True)
        return Power(
            mains={0: False, 1: True}.get(int(status.ACLineStatus)),
            charge=None if percent == _UNKNOWN else min(percent, 100) / 100,
            saver=status.SystemStatusFlag == 1,
        )
