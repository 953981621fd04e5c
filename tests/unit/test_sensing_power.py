"""A battery that loses charge on mains, and how often power is read."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.agent.sensors import POWER_EVERY_S, Sensors
from gogrid_desktop.core.power import FALL, FALL_WITHIN_S, ChargeTrend, Power
from gogrid_desktop.system.screen.null import NullScreen

readings = st.lists(st.tuples(st.floats(1, 400), st.sampled_from([True, True, True, False]), st.integers(0, 100)))


@given(readings)
def test_it_falls_when_a_charge_of_the_last_ten_minutes_on_mains_was_two_points_higher(
    steps: list[tuple[float, bool, int]],
) -> None:
    trend, now = ChargeTrend(), 0.0
    on_mains: list[tuple[float, int]] = []
    for pause_s, mains, percent in steps:
        now += pause_s
        on_mains = [*on_mains, (now, percent)] if mains else []
        highest = max((seen for at, seen in on_mains if at >= now - FALL_WITHIN_S), default=percent)
        falls = mains and highest - percent >= round(FALL * 100)
        assert trend.falls(now, Power(mains, percent / 100)) is falls


def test_what_is_unknown_falls_not() -> None:
    trend = ChargeTrend()
    assert not trend.falls(0.0, Power(True, 0.9))
    assert not trend.falls(1.0, Power(True))
    assert not trend.falls(2.0, Power(None, 0.5))


@dataclass
class Probe:
    name = "test"
    power: Power
    reads: int = 0

    def read(self) -> Power:
        self.reads += 1
        return self.power


@dataclass
class StoppedClock:
    at_s: float = 1000.0

    def now(self) -> float:
        return 1.7e9 + self.at_s

    def monotonic(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


def test_power_is_read_every_five_seconds_and_a_fall_is_seen() -> None:
    probe, clock = Probe(Power(True, 0.5)), StoppedClock()
    sensors = Sensors((), probe, NullScreen(), clock)
    assert sensors.read(0).power == Power(True, 0.5)
    probe.power = Power(True, 0.48)
    clock.at_s += POWER_EVERY_S - 0.1
    assert sensors.read(0).power == Power(True, 0.5)
    clock.at_s += 0.1
    assert sensors.read(0).power == Power(True, 0.48, falling=True)
    assert probe.reads == 2
