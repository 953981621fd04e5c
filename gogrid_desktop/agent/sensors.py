"""Reads the machine's signals into one `Activity`. Unknown stays unknown."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from gogrid_desktop.agent.clock import Clock
from gogrid_desktop.core.activity import Activity
from gogrid_desktop.core.idle import IdleFusion, Reading
from gogrid_desktop.core.power import ChargeTrend, Power
from gogrid_desktop.system.idle import IdleProbe
from gogrid_desktop.system.power import PowerProbe
from gogrid_desktop.system.screen import ScreenProbe

#: What costs more is read no more often: a laptop's battery may take some 10 ms to answer, and each window 0.1 ms.
POWER_EVERY_S = 5.0
SCREEN_EVERY_S = 2.0

T = TypeVar("T")


class _Every(Generic[T]):
    """What `read` said, read anew once it is `seconds` old; `read` is given the time (monotonic)."""

    def __init__(self, seconds: float, read: Callable[[float], T]) -> None:
        self._seconds, self._read = seconds, read
        self._last: tuple[float, T] | None = None

    def at(self, now: float) -> T:
        if self._last is None or now >= self._last[0] + self._seconds:
            self._last = (now, self._read(now))
        return self._last[1]


class Sensors:
    """All idle probes are asked, and `core.idle` says whom to believe."""

    def __init__(self, idle_probes: Sequence[IdleProbe], power: PowerProbe, screen: ScreenProbe, clock: Clock) -> None:
        self._idle_probes, self._power_probe, self._clock = idle_probes, power, clock
        self._idle = IdleFusion()
        self._trend = ChargeTrend()
        self._power = _Every(POWER_EVERY_S, self._read_power)
        self._screen = _Every(SCREEN_EVERY_S, lambda _: screen.read())

    def read(self, jobs_running: int) -> Activity:
        """Civil time is the machine's own time zone."""
        now, mono = self._clock.now(), self._clock.monotonic()
        idle = self._idle.fold([self._idle_reading(probe) for probe in self._idle_probes])
        civil = time.localtime(now)
        second_of_day = civil.tm_hour * 3600 + civil.tm_min * 60 + civil.tm_sec + now % 1
        power, screen = self._power.at(mono), self._screen.at(mono)
        return Activity(idle.idle_s, idle.source, civil.tm_wday, second_of_day, power, screen, jobs_running)

    def _idle_reading(self, probe: IdleProbe) -> Reading:
        idle_s = probe.idle_s()
        return Reading(probe.name, probe.kind, idle_s, self._clock.monotonic())

    def _read_power(self, now: float) -> Power:
        power = self._power_probe.read()
        return replace(power, falling=self._trend.falls(now, power))
