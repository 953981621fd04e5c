"""Civil time over the nights in which clocks change: what is sensed, decided and said, against the zones' own rules."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from fixtures_sensors import Gpus, Said, sense
from hypothesis import example, given
from hypothesis import strategies as st

from gogrid_desktop.agent.sensors import Sensors
from gogrid_desktop.core.activity import Activity, Preferences
from gogrid_desktop.core.civil import CivilTime, stretches
from gogrid_desktop.core.policy import Decision, Memory, decide
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.windows import DAY_S, DEFAULT_GRID, Shift, WeekGrid, parse_grid
from gogrid_desktop.system.civil_time import civil_time

HOUR = 3600.0
#: A zone, the evening before the night, and how many hours that night has from 22 to 7.
NIGHTS = [
    ("Europe/Berlin", "2026-03-28", 8.0),
    ("Europe/Berlin", "2026-10-24", 10.0),
    ("Europe/Berlin", "2026-06-20", 9.0),
    ("America/New_York", "2026-03-07", 8.0),
    ("America/New_York", "2026-10-31", 10.0),
    ("America/Havana", "2026-03-07", 8.0),  # at midnight: there is no 00:30
    ("America/Havana", "2026-10-31", 10.0),
    ("Australia/Lord_Howe", "2026-04-04", 9.5),  # by half an hour
    ("Australia/Lord_Howe", "2026-10-03", 8.5),
    ("Asia/Kolkata", "2026-03-28", 9.0),
]
#: Another ceiling in every hour, so that an hour skipped or doubled shows.
PATCHED = parse_grid([("ACBP" * 6)[day % 4 :] + ("ACBP" * 6)[: day % 4] for day in range(7)])
BY_NIGHT = parse_grid(["A" * 3 + "C" * 21] * 7)

every_night = pytest.mark.parametrize(("name", "evening", "hours"), NIGHTS)
grids = st.lists(st.text("PCBA", min_size=24, max_size=24), min_size=7, max_size=7).map(parse_grid)


@pytest.fixture
def live_in() -> Iterator[Callable[[str], ZoneInfo]]:
    """Puts this process into a time zone."""
    if not hasattr(time, "tzset"):
        pytest.skip("this system has no tzset")
    with pytest.MonkeyPatch.context() as patch:

        def move(name: str) -> ZoneInfo:
            try:
                zone = ZoneInfo(name)
            except ZoneInfoNotFoundError:
                pytest.skip(f"this system knows no zone {name}")
            patch.setenv("TZ", name)
            time.tzset()
            return zone

        yield move
    time.tzset()


class WallClock:
    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


def sensing(clock: WallClock) -> Callable[[], Activity]:
    """What is sensed, of somebody who has been gone for long."""
    sensors = Sensors(Said().probes(), sense(Gpus()), clock, Preferences)
    return lambda: replace(sensors.read(0), idle_s=DAY_S)


def noon(zone: ZoneInfo, evening: str) -> float:
    return datetime.fromisoformat(f"{evening}T12:00").replace(tzinfo=zone).timestamp()


def by_the_zone(at: float, zone: ZoneInfo) -> tuple[int, float]:
    """Weekday and second of the day, by the zone's own rules."""
    there = datetime.fromtimestamp(at, zone)
    return there.weekday(), float(there.hour * 3600 + there.minute * 60 + there.second)


def at(zone: ZoneInfo, text: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def settled(seen: Activity, wanted: Preferences, now: float) -> Decision:
    """Decided, with every step up made."""
    memory = Memory()
    for before_s in range(1200, 0, -30):
        memory = decide(replace(seen, shift=None), wanted, memory, now - before_s).memory
    return decide(seen, wanted, memory, now)


# --- what is sensed and decided --------------------------------------------------------------------------------------


@every_night
def test_what_is_sensed_is_what_clocks_on_the_wall_show(
    name: str, evening: str, hours: float, live_in: Callable[[str], ZoneInfo]
) -> None:
    zone = live_in(name)
    begin = noon(zone, evening)
    clock = WallClock(begin)
    read = sensing(clock)
    for minutes in range(0, 30 * 60, 10):
        clock.at = begin + minutes * 60
        seen = read()
        assert (seen.weekday, seen.second_of_day) == by_the_zone(clock.at, zone)


@every_night
def test_a_night_from_22_to_7_is_one_night(
    name: str, evening: str, hours: float, live_in: Callable[[str], ZoneInfo]
) -> None:
    zone = live_in(name)
    begin = noon(zone, evening)
    clock = WallClock(begin)
    read = sensing(clock)
    memory, given = Memory(), list[Profile]()
    for minute in range(24 * 60):
        clock.at = begin + minute * 60
        decision = decide(read(), Preferences(), memory, clock.at)
        memory = decision.memory
        if minute >= 5:
            given.append(decision.profile)
    runs = [(profile, len(list(run))) for profile, run in groupby(given)]
    assert [profile for profile, _ in runs] == [Profile.BALANCED, Profile.AGGRESSIVE, Profile.BALANCED]
    assert runs[1][1] == hours * 60


@every_night
def test_never_more_is_given_than_the_hour_allows_and_soon_as_much(
    name: str, evening: str, hours: float, live_in: Callable[[str], ZoneInfo]
) -> None:
    zone = live_in(name)
    begin = noon(zone, evening)
    clock = WallClock(begin)
    read = sensing(clock)
    memory, since = Memory(), 0
    wanted = Preferences(grid=PATCHED)
    allowed = [PATCHED.at(*by_the_zone(begin + minute * 60, zone)) for minute in range(24 * 60)]
    for minute, most in enumerate(allowed):
        clock.at = begin + minute * 60
        decision = decide(read(), wanted, memory, clock.at)
        memory = decision.memory
        since = minute if minute == 0 or most != allowed[minute - 1] else since
        assert decision.profile <= most
        if minute - since >= 5:
            assert decision.profile == most


@every_night
def test_the_next_look_is_when_the_ceiling_really_changes(
    name: str, evening: str, hours: float, live_in: Callable[[str], ZoneInfo]
) -> None:
    zone = live_in(name)
    begin = noon(zone, evening)
    clock = WallClock(begin)
    read = sensing(clock)
    for grid in (DEFAULT_GRID, PATCHED, BY_NIGHT):
        ceilings = [grid.at(*by_the_zone(begin + minute * 60, zone)) for minute in range(48 * 60)]
        for minute in range(0, 24 * 60, 30):
            clock.at = begin + minute * 60
            change = next(later for later in range(minute, 48 * 60) if ceilings[later] != ceilings[minute])
            seen = read()
            in_s = grid.next_change_s(seen.weekday, seen.second_of_day, seen.shift)
            assert in_s == (change - minute) * 60
            decision = settled(seen, Preferences(grid=grid), clock.at)
            assert decision.next_check == clock.at + in_s


@every_night
def test_what_will_be_sensed_later_is_known_before(
    name: str, evening: str, hours: float, live_in: Callable[[str], ZoneInfo]
) -> None:
    zone = live_in(name)
    begin = noon(zone, evening) + 0.3
    seen = sensing(WallClock(begin))()
    stepped = seen
    for quarter in range(1, 96):
        later, stepped = seen.after(quarter * 900.0), stepped.after(900.0)
        weekday, second = by_the_zone(begin + quarter * 900, zone)
        assert (later.weekday, later.second_of_day) == (weekday, pytest.approx(second + 0.3, abs=1e-4))
        assert (stepped.weekday, stepped.second_of_day) == (weekday, pytest.approx(second + 0.3, abs=1e-4))


# --- what is said ----------------------------------------------------------------------------------------------------

SAID = [
    # The clocks go back at 03:00: from the first half past two it is still an hour and a half.
    ("2026-10-25T02:30", 0, "Conservative from 03:00", "until 03:00"),
    ("2026-10-25T02:30", 1, "Conservative in 30 min", "until 03:00"),
    ("2026-10-25T01:30", 0, "Conservative from 03:00", "until 03:00"),
    # They go forward at 02:00: three o'clock is in half an hour.
    ("2026-03-29T01:30", 0, "Conservative in 30 min", "until 03:00"),
    ("2026-03-29T00:30", 0, "Conservative from 03:00", "until 03:00"),
]


@pytest.mark.parametrize(("text", "fold", "next_one", "until"), SAID)
def test_what_comes_next_is_never_an_hour_off(
    text: str, fold: int, next_one: str, until: str, live_in: Callable[[str], ZoneInfo]
) -> None:
    zone = live_in("Europe/Berlin")
    clock = WallClock(at(zone, text, fold))
    decision = settled(sensing(clock)(), Preferences(grid=BY_NIGHT), clock.at)
    assert decision.what_next == next_one
    schedule = next(reason for reason in decision.reasons if reason.rule == "schedule")
    assert schedule.sentence == f"your schedule says aggressive {until}"


def test_the_evening_before_names_the_hour_of_the_clock(live_in: Callable[[str], ZoneInfo]) -> None:
    zone = live_in("Europe/Berlin")
    for text in ("2026-03-28T23:00", "2026-10-24T23:00"):
        clock = WallClock(at(zone, text))
        assert settled(sensing(clock)(), Preferences(), clock.at).what_next == "Balanced from 07:00"


# --- travelling ------------------------------------------------------------------------------------------------------


def test_a_computer_that_travels_is_at_once_in_its_new_zone(
    live_in: Callable[[str], ZoneInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = WallClock(at(live_in("Europe/Berlin"), "2026-06-20T23:30"))
    read, wanted = sensing(clock), Preferences()
    here = read()
    assert (here.weekday, here.second_of_day) == (5, 23.5 * HOUR)
    assert settled(here, wanted, clock.at).profile is Profile.AGGRESSIVE
    monkeypatch.setenv("TZ", "America/New_York")
    there = read()
    assert (there.weekday, there.second_of_day) == (5, 17.5 * HOUR)
    assert settled(there, wanted, clock.at).what_next == "Aggressive from 22:00 if you stay away"
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    assert read().second_of_day == 3 * HOUR


_MOVED = """
import subprocess, time
from fixtures_sensors import Gpus, Said, sense
from gogrid_desktop.agent.clock import SystemClock
from gogrid_desktop.agent.sensors import Sensors
from gogrid_desktop.core.activity import Preferences
sensors = Sensors(Said().probes(), sense(Gpus()), SystemClock(), Preferences)
def hour(): return sensors.read(0).second_of_day // 3600
def there(hours): return (time.time() // 3600 + hours) % 24
def move(zone): subprocess.run(["mount", "--bind", "/usr/share/zoneinfo/" + zone, "/etc/localtime"], check=True)
move("Etc/GMT-3")
print(hour() == there(3))
move("Etc/GMT+8")
print(hour() == there(-8))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs mount namespaces")
def test_a_running_program_sees_that_the_systems_own_zone_was_changed() -> None:
    command = ["unshare", "--map-root-user", "--mount"]
    try:
        subprocess.run(
            [*command, "mount", "--bind", "/etc/hostname", "/etc/localtime"], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no mount namespace here: {error}")
    environment = {name: value for name, value in os.environ.items() if name != "TZ"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    ran = subprocess.run(
        [*command, sys.executable, "-c", _MOVED], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["True", "True"]


# --- the hours to come -----------------------------------------------------------------------------------------------


@every_night
def test_the_next_24_hours_are_real_ones(
    name: str, evening: str, hours: float, live_in: Callable[[str], ZoneInfo]
) -> None:
    zone = live_in(name)
    begin = noon(zone, evening)
    day, night, morning = stretches(DEFAULT_GRID, civil_time(begin))
    assert [part.profile for part in (day, night, morning)] == [
        Profile.BALANCED,
        Profile.AGGRESSIVE,
        Profile.BALANCED,
    ]
    assert (night.seconds, night.shifted_s) == (hours * HOUR, (9 - hours) * HOUR)
    assert (day.shifted_s, morning.shifted_s) == (0.0, 0.0)
    assert day.seconds + night.seconds + morning.seconds == DAY_S
    assert morning.end.second_of_day == by_the_zone(begin + DAY_S, zone)[1]


@example(DEFAULT_GRID, 6, 86_399.99999999999, None)
@given(
    grids,
    st.integers(0, 6),
    st.integers(0, 86_399_999).map(lambda ms: ms / 1000),
    st.none()
    | st.builds(Shift, st.integers(1, 10**8).map(lambda ms: ms / 1000), st.sampled_from([HOUR, -HOUR, HOUR / 2])),
)
def test_the_hours_to_come_have_no_gap_and_are_what_the_grid_says(
    grid: WeekGrid, weekday: int, second: float, shift: Shift | None
) -> None:
    found = stretches(grid, CivilTime(weekday, second, shift))
    assert sum(part.seconds for part in found) == pytest.approx(DAY_S)
    for part in found:
        assert part.seconds > 0
        middle = part.begin.after(part.seconds / 2)
        assert grid.at(middle.weekday, middle.second_of_day) == part.profile
    for one, other in pairwise(found):
        assert one.end == other.begin
        assert one.profile != other.profile


def test_a_week_without_a_change_is_one_stretch() -> None:
    (whole,) = stretches(parse_grid(["C" * 24] * 7), CivilTime(3, 100.0))
    assert (whole.seconds, whole.end) == (DAY_S, CivilTime(4, 100.0))


def test_a_year_of_hours_is_what_the_zone_says(live_in: Callable[[str], ZoneInfo]) -> None:
    zone = live_in("America/New_York")
    first = datetime(2026, 1, 1, tzinfo=zone)
    for hour in range(0, 365 * 24, 7):
        now = first.timestamp() + hour * HOUR
        seen = civil_time(now)
        assert (seen.weekday, seen.second_of_day) == by_the_zone(now, zone)
        later = seen.after(5 * DAY_S)
        assert (later.weekday, later.second_of_day) == by_the_zone(now + 5 * DAY_S, zone)
