"""The memory governor's judgement: worse at once, better slowly, never for what we use ourselves, never to and fro."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.core.pressure import FORGET_S, HOLD_S, Level, Pressure, Reading, answer, assess

GIB = 2**30
TOTAL, RESERVE, GRANTED = 16 * GIB, 2 * GIB, 4 * GIB


def reading(foreign: float, own: int = GRANTED, granted: int = GRANTED, stalled: float = 0.0) -> Reading:
    return Reading(TOTAL, int(foreign) + own, own, granted, RESERVE, stalled)


def left(room: float) -> Reading:
    """With so much room beside us, in reserves."""
    return reading(TOTAL - GRANTED - room * RESERVE)


def test_the_levels_begin_where_they_should() -> None:
    rooms = {3.0: Level.LOW, 1.0: Level.NORMAL, 0.5: Level.NORMAL, 0.4: Level.HIGH, 0.2: Level.CRITICAL}
    for room, level in rooms.items():
        found = assess(Pressure(Level.LOW, GRANTED), left(room), 0.0)
        assert found.level is level, room


def test_scarce_memory_in_which_everybody_waits_is_critical_and_plenty_never_is() -> None:
    scarce = replace(left(0.4), stalled=0.5)
    assert assess(Pressure(), scarce, 0.0).level is Level.CRITICAL
    assert assess(Pressure(), replace(left(1.0), stalled=1.0), 0.0).level is Level.NORMAL


def test_it_gets_worse_at_once_and_better_one_level_at_a_time_after_its_hold() -> None:
    pressure = assess(Pressure(Level.LOW, GRANTED), left(0.1), 0.0)
    assert pressure.level is Level.CRITICAL
    levels = []
    for second in range(1, int(4 * HOLD_S)):
        pressure = assess(pressure, left(4.0), float(second))
        levels.append(pressure.level)
    assert levels.index(Level.HIGH) == HOLD_S
    assert levels.index(Level.NORMAL) == 2 * HOLD_S
    assert levels.index(Level.LOW) == 3 * HOLD_S
    assert levels == sorted(levels, reverse=True)


def test_a_plan_that_does_not_fit_any_more_shrinks_until_it_does_and_then_rests() -> None:
    pressure = assess(Pressure(Level.NORMAL, GRANTED), left(0.1), 0.0)
    assert pressure.shrink
    foreign = left(0.1).foreign_bytes
    smaller = assess(pressure, reading(foreign, own=GIB, granted=GIB), 1.0)
    assert (smaller.level, smaller.shrink) == (Level.CRITICAL, False)
    assert smaller.wanted_bytes == GRANTED, "what there was before is what must fit again"


def test_what_nothing_is_wanted_of_is_never_scarce() -> None:
    full = Reading(TOTAL, TOTAL, 0, 0, RESERVE)
    assert assess(Pressure(), full, 0.0).level is Level.NORMAL


def test_what_was_unloaded_long_ago_is_forgotten() -> None:
    pressure = assess(Pressure(Level.NORMAL, GRANTED), left(0.1), 0.0)
    unloaded = replace(left(0.1), own_bytes=0, granted_bytes=0, used_bytes=left(0.1).foreign_bytes)
    pressure = assess(pressure, unloaded, 1.0)
    assert pressure.level is Level.CRITICAL
    assert assess(pressure, unloaded, FORGET_S).level is Level.CRITICAL
    assert assess(pressure, unloaded, 1.0 + FORGET_S).level is Level.NORMAL


def test_each_level_gives_up_more() -> None:
    def at(level: Level, *, shrink: bool = False) -> tuple[int, bool, bool, bool]:
        it = answer([Pressure(), Pressure(level, shrink=shrink)], 8)
        return it.slots, it.prefixes, it.more, it.shrink

    assert at(Level.LOW) == at(Level.NORMAL) == (8, True, True, False)
    assert at(Level.HIGH) == (4, False, False, False)
    assert at(Level.CRITICAL, shrink=True) == (4, False, False, True)
    assert answer([Pressure(Level.CRITICAL)], 1).slots == 1


sizes = st.integers(0, TOTAL)
levels = st.sampled_from(Level)


@given(sizes, sizes, sizes, levels, st.integers(1, TOTAL))
def test_our_own_use_changes_nothing(foreign: int, own: int, other: int, level: Level, granted: int) -> None:
    before = Pressure(level, granted)
    one = assess(before, Reading(TOTAL, foreign + own, own, granted, RESERVE), 5.0)
    two = assess(before, Reading(TOTAL, foreign + other, other, granted, RESERVE), 5.0)
    assert one == two


@given(st.lists(sizes, min_size=1, max_size=300), st.integers(1, 60))
def test_it_never_eases_twice_within_a_hold_whatever_others_do(foreign: list[int], step_s: int) -> None:
    pressure, eased = Pressure(), -HOLD_S
    for tick, size in enumerate(foreign):
        now = float(tick * step_s)
        after = assess(pressure, reading(size), now)
        if after.level < pressure.level:
            assert after.level == pressure.level - 1
            assert now - eased >= HOLD_S or eased < 0
            eased = now
        pressure = after


@given(sizes, st.integers(0, 300))
def test_in_a_constant_world_our_own_answers_never_turn_in_a_circle(foreign: int, at: int) -> None:
    """Shrink when told to, unload when there is nothing smaller, load again when the planner would."""
    pressure, granted, changes = Pressure(), GRANTED, 0
    for second in range(900):
        now = reading(foreign if second >= at else 0, own=granted, granted=granted)
        after = assess(pressure, now, float(second))
        changes += after.level != pressure.level
        pressure = after
        if pressure.shrink:
            granted = granted // 2 if granted > GIB else 0
        elif pressure.level < Level.HIGH and not granted and now.room_bytes(GRANTED) >= RESERVE:
            granted = GRANTED
    assert changes <= 4


@given(levels, sizes, sizes)
def test_more_room_is_never_judged_worse(level: Level, foreign: int, more: int) -> None:
    less = max(0, foreign - more)
    before = Pressure(level, GRANTED)
    assert assess(before, reading(less), 5.0).level <= assess(before, reading(foreign), 5.0).level
