"""Reads the machine's signals into one `Activity`. Adapters are tried in their order; unknown stays unknown."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

from gogrid_desktop.agent.clock import Clock
from gogrid_desktop.core.activity import Activity
from gogrid_desktop.core.power import ChargeTrend, Power
from gogrid_desktop.system.idle import IdleProbe
from gogrid_desktop.system.power import PowerProbe
from gogrid_desktop.system.screen import ScreenProbe

#: Power is read no more often: a laptop's battery may take some 10 ms to answer.
POWER_EVERY_S = 5.0


class Sensors:
    """The first idle probe that knows something answers."""

    def __init__(self, idle_probes: Sequence[IdleProbe], power: PowerProbe, screen: ScreenProbe, clock: Clock) -> None:
        self._idle_probes, self._power_probe, self._screen, self._clock = idle_probes, power, screen, clock
        self._trend = ChargeTrend()
        self._power = Power(None)
        self._power_at = -math.inf

    def read(self, jobs_running: int) -> Activity:
        """Civil time is the machine's own time zone."""
        now = self._clock.now()
        source, idle_s = "none", None
        for probe in self._idle_probes:
            idle_s = probe.idle_s()
            if idle_s is not None:
                source = probe.name
                break
        civil = time.localtime(now)
        second_of_day = civil.tm_hour * 3600 + civil.tm_min * 60 + civil.tm_sec + now % 1
        return Activity(
            idle_s, source, civil.tm_wday, second_of_day, self._read_power(), self._screen.read(), jobs_running
        )

    def _read_power(self) -> Power:
        now = self._clock.monotonic()
        if now >= self._power_at + POWER_EVERY_S:
            power = self._power_probe.read()
            self._power = replace(power, falling=self._trend.falls(now, power))
            self._power_at = now
        return self._power
