"""Reads the machine's signals into one `Activity`. Adapters are tried in their order; unknown stays unknown."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from gogrid_desktop.agent.clock import Clock
from gogrid_desktop.core.activity import Activity
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
    """The first idle probe that knows something answers."""

    def __init__(self, idle_probes: Sequence[IdleProbe], power: PowerProbe, screen: ScreenProbe, clock: Clock) -> None:
        self._idle_probes, self._power_probe, self._clock = idle_probes, power, clock
        self._trend = ChargeTrend()
        self._power = _Every(POWER_EVERY_S, self._read_power)
        self._screen = _Every(SCREEN_EVERY_S, lambda _: screen.read())

    def read(self, jobs_running: int) -> Activity:
        """Civil time is the machine's own time zone."""
        now, mono = self._clock.now(), self._clock.monotonic()
        source, idle_s = "none", None
        for probe in self._idle_probes:
            idle_s = probe.idle_s()
            if idle_s is not None:
                source = probe.name
                break
        civil = time.localtime(now)
        second_of_day = civil.tm_hour * 3600 + civil.tm_min * 60 + civil.tm_sec + now % 1
        power, screen = self._power.at(mono), self._screen.at(mono)
        return Activity(idle_s, source, civil.tm_wday, second_of_day, power, screen, jobs_running)

    def _read_power(self, now: float) -> Power:
        power = self._power_probe.read()
        return replace(power, falling=self._trend.falls(now, power))
