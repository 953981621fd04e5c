"""How often each signal is read, what wakes the agent, and a battery that loses charge on mains."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil
import pytest
from fixtures_sensors import Gpus, Said, sense
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.agent.gpu_sense import Lent
from gogrid_desktop.agent.programs import running
from gogrid_desktop.agent.sensors import INPUT_EVERY_S, POWER_EVERY_S, READY_EVERY_S, SCREEN_EVERY_S, Sensors
from gogrid_desktop.core.activity import Preferences
from gogrid_desktop.core.power import FALL, FALL_WITHIN_S, ChargeTrend, Power
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.system.gpu import Gpu, GpuProcess, GpuReading

WANTED = Preferences()

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
class StoppedClock:
    at_s: float = 1000.0

    def now(self) -> float:
        return 1.7e9 + self.at_s

    def monotonic(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


def sensors(said: Said, clock: StoppedClock, gpus: Gpus | None = None, wanted: Preferences = WANTED) -> Sensors:
    return Sensors(said.probes(), sense(gpus or Gpus()), clock, lambda: wanted)


def test_power_is_read_every_five_seconds_and_a_fall_is_seen() -> None:
    said, clock = Said(power=Power(True, 0.5)), StoppedClock()
    sensed = sensors(said, clock)
    assert sensed.read(0).power == Power(True, 0.5)
    said.power = Power(True, 0.48)
    clock.at_s += POWER_EVERY_S - 0.1
    assert sensed.read(0).power == Power(True, 0.5)
    clock.at_s += 0.1
    assert sensed.read(0).power == Power(True, 0.48, falling=True)
    assert said.reads["power"] == 2


def test_what_announces_itself_is_read_at_once_and_the_moment_is_remembered() -> None:
    said, clock, woken = Said(), StoppedClock(), []
    sensed = sensors(said, clock)
    sensed.start(lambda: woken.append(clock.at_s))
    assert sensed.read(0).metered is None
    said.network_metered = True
    clock.at_s += 1.0
    assert sensed.read(0).metered is None
    said.changed()
    assert set(woken) == {1001.0}
    clock.at_s += 0.5
    assert sensed.noticed() == 1001.0
    assert sensed.noticed() is None
    assert sensed.read(0).metered is True


def test_input_is_waited_for_while_away_and_asked_for_only_where_nothing_tells_of_it() -> None:
    said, clock = Said(idle=0.0), StoppedClock()
    sensed = sensors(said, clock)
    for _ in range(40):
        said.idle = (said.idle or 0.0) + 5.0
        clock.at_s += 5.0
        sensed.read(0)
    assert said.input_heard is not None
    assert sensed.every_s(Profile.AGGRESSIVE, working=True, paused_by=()) == SCREEN_EVERY_S
    said.notifies = False
    sensed.read(0)
    assert sensed.every_s(Profile.AGGRESSIVE, working=True, paused_by=()) == INPUT_EVERY_S
    assert sensed.every_s(Profile.AGGRESSIVE, working=False, paused_by=()) == READY_EVERY_S


def test_after_a_sleep_everything_is_read_anew() -> None:
    said, clock = Said(), StoppedClock()
    sensed = sensors(said, clock)
    sensed.read(0)
    sensed.awoke()
    sensed.read(0)
    assert set(said.reads.values()) == {2}


@pytest.mark.parametrize(
    ("profile", "working", "paused_by", "every_s"),
    [
        (Profile.AGGRESSIVE, True, (), 0.25),
        (Profile.CONSERVATIVE, False, (), 1.0),
        (Profile.PAUSED, False, ("game",), 2.0),
        (Profile.PAUSED, False, ("game", "heat"), 2.0),
        (Profile.PAUSED, False, ("game", "power"), None),
        (Profile.PAUSED, False, ("switch",), None),
    ],
)
def test_gpus_are_looked_at_as_often_as_it_matters(
    profile: Profile, working: bool, paused_by: tuple[str, ...], every_s: float | None
) -> None:
    gpus = Gpus()
    sensed = sensors(Said(), StoppedClock(), gpus)
    sensed.every_s(Profile.BALANCED, working=False, paused_by=())
    sensed.every_s(profile, working=working, paused_by=paused_by)
    assert gpus.every_s == every_s


def test_a_gpu_that_is_not_looked_at_may_be_in_use() -> None:
    gpus = Gpus()
    gpus.latest = GpuReading((Gpu(0, "card", "1", 8, 0, 8, 0.0, "GPU-0", processes=()),), taken_at=1.0)
    sensed = sensors(Said(), StoppedClock(), gpus)
    sensed.every_s(Profile.BALANCED, working=False, paused_by=())
    assert sensed.read(0).gpus[0].foreign_high == 0.0
    sensed.every_s(Profile.PAUSED, working=False, paused_by=("switch",))
    assert sensed.read(0).gpus[0].foreign_high is None


def test_a_gpu_that_is_lost_is_said_and_one_that_never_was_is_not() -> None:
    gpus = Gpus()
    sensed = sensors(Said(), StoppedClock(), gpus)
    sensed.every_s(Profile.BALANCED, working=False, paused_by=())
    assert sensed.read(0).gpu_problem == ""
    gpus.latest = GpuReading((Gpu(0, "card", "1", 8, 0, 8, 0.0, "GPU-0", processes=()),), taken_at=1.0)
    assert sensed.read(0).gpu_problem == ""
    gpus.latest = GpuReading(problem="GPU is lost")
    assert sensed.read(0).gpu_problem == "GPU is lost"
    assert "GPU is lost" in sensed.notes


def test_neither_our_workers_nor_programs_that_may_share_count_as_others() -> None:
    mine = psutil.Process(os.getpid())
    gpus = Gpus()
    used = (GpuProcess(os.getpid(), 5, 0.6),)
    gpus.latest = GpuReading((Gpu(0, "card", "1", 8, 5, 3, 0.6, "GPU-0", processes=used),), taken_at=1.0)

    def foreign(workers: tuple[int, ...], lent: Lent) -> float | None:
        sensed = sense(gpus, workers, lent)
        sensed.pace(Profile.BALANCED, working=True, paused_by=())
        return sensed.uses()[0][0].foreign_high

    assert foreign((), Lent()) == 0.6
    assert foreign((os.getpid(),), Lent()) == 0.0
    assert foreign((), Lent(beside=frozenset({mine.name().lower()}))) == 0.0


def test_a_gpu_that_is_not_lent_is_not_looked_at() -> None:
    gpus = Gpus()
    cards = tuple(Gpu(n, "card", "1", 8, 0, 8, 0.0, f"GPU-{n}", processes=()) for n in range(3))
    gpus.latest = GpuReading(cards, taken_at=1.0)
    lent = Lent({"0": Profile.PAUSED, "GPU-1": Profile.BALANCED, "GPU-2": Profile.PAUSED})
    assert [use.index for use in sense(gpus, (), lent).uses()[0]] == [1]
    assert Lent(dict.fromkeys("012", Profile.PAUSED)).gpus(gpus.latest).problem


def test_only_programs_that_somebody_asks_for_are_looked_for() -> None:
    mine = psutil.Process(os.getpid()).name().lower()
    assert running(frozenset()) == frozenset()
    assert running(frozenset({mine, "no-such-program"})) == {mine}
