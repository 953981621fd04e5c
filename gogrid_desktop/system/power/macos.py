"""Power on macOS through psutil (`IOPSCopyPowerSourcesInfo`). Tested with faked answers; not run on real hardware.

Low Power Mode cannot be seen through it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import psutil

from gogrid_desktop.core.power import Power


class Battery(Protocol):
    """As psutil gives it."""

    @property
    def percent(self) -> float:
        """0..100."""
        ...

    @property
    def power_plugged(self) -> bool | None:
        """None where it is unknown."""
        ...


class MacPower:
    name = "macos-power-sources"

    def __init__(self, battery: Callable[[], Battery | None] = psutil.sensors_battery) -> None:
        self._battery = battery

    def read(self) -> Power:
        try:
            battery = self._battery()
        except OSError:
            return Power(None)
        if battery is None:
            return Power(True)
        charge = battery.percent / 100 if math.isfinite(battery.percent) else None
        return Power(battery.power_plugged, charge)
