"""Whom to believe on how long nobody has touched the computer."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.core.idle import IN_USE_S, STEADY_S, STUCK_S, Idle, IdleFusion, Kind, Reading

NAN = math.nan


class Room:
    """A person, a clock, and the sources that look at them; a test says what a source that lies answers."""

    def __init__(self) -> None:
        self.fusion = IdleFusion()
        self.now = 1000.0
        self.touched_at = 1000.0
        self.idle = Idle(None)

    def look(self, *readings: tuple[str, Kind, float | None]) -> Idle:
        self.idle = self.fusion.fold([Reading(name, kind, idle_s, self.now) for name, kind, idle_s in readings])
        return self.idle

    def counter(self, *values: float | None) -> Idle:
        """A look a second at the counter "a", which answers these."""
        for value in values:
            self.now += 1.0
            self.look(("a", Kind.COUNTER, value))
        return self.idle

    def prove(self, *names: str) -> None:
        """Let these counters be seen to grow and to fall."""
        for idle_s in (0.0, 3.0, 6.0, 0.0):
            self.look(*((name, Kind.COUNTER, idle_s) for name in names))
            self.now += 3.0


@pytest.fixture
def room() -> Room:
    return Room()


def growing(start: float, count: int) -> list[float]:
    return [start + step for step in range(count)]


def test_without_a_source_nothing_is_known(room: Room) -> None:
    assert room.look() == Idle(None)
    assert room.look(("a", Kind.COUNTER, None), ("p", Kind.PRESENCE, None), ("h", Kind.HINT, None)) == Idle(None)


def test_a_new_counter_says_in_use_but_not_away(room: Room) -> None:
    assert room.counter(IN_USE_S - 1) == Idle(9.0, "a")
    assert room.counter(IN_USE_S) == Idle(None)


def test_one_that_keeps_step_for_half_a_minute_calls_the_person_away_before_any_key_was_touched(room: Room) -> None:
    assert room.counter(*growing(7200.0, 30)).idle_s is None
    assert room.counter(7230.0) == Idle(7200.0 + STEADY_S, "a")


def test_an_input_after_growth_proves_a_counter(room: Room) -> None:
    room.counter(*growing(0.0, 7), 0.5)
    assert room.counter(*growing(1.5, 20)) == Idle(20.5, "a")


def test_a_counter_that_only_ever_says_now_proves_nothing(room: Room) -> None:
    assert room.counter(*[0.0] * 700) == Idle(0.0, "a")
    assert room.counter(50.0).idle_s is None


def test_what_grew_through_the_input_that_another_saw_must_not_be_alone_later(room: Room) -> None:
    for step in range(40):
        room.now += 1.0
        room.look(("a", Kind.COUNTER, (step % 10) * 1.0), ("b", Kind.COUNTER, 500.0 + step))
    assert room.idle == Idle(9.0, "a")
    room.now += 1.0
    assert room.look(("a", Kind.COUNTER, None), ("b", Kind.COUNTER, 540.0)).idle_s is None


def test_the_smallest_of_those_that_are_trusted_is_told_and_of_equal_ones_the_first(room: Room) -> None:
    room.prove("a", "b")
    assert room.look(("a", Kind.COUNTER, 3.0), ("b", Kind.COUNTER, 2.5)) == Idle(2.5, "b")
    room.now += 1.0
    assert room.look(("a", Kind.COUNTER, 4.0), ("b", Kind.COUNTER, 4.0)) == Idle(4.0, "a")


def test_one_that_is_not_trusted_still_lowers(room: Room) -> None:
    room.prove("a")
    for step in range(200):
        room.now += 1.0
        room.look(("a", Kind.COUNTER, 4.0 + step), ("new", Kind.COUNTER, 1.0))
    assert room.idle == Idle(1.0, "new")


@pytest.mark.parametrize("value", [0.0, 7.0, 500.0])
def test_one_that_stands_still_for_ten_minutes_is_dropped_and_named(room: Room, value: float) -> None:
    room.prove("a")
    for step in range(int(STUCK_S)):
        room.look(("a", Kind.COUNTER, 3.0 + step), ("still", Kind.COUNTER, value))
        assert room.idle.idle_s is not None
        assert room.idle == Idle(min(3.0 + step, value), "a" if 3.0 + step <= value else "still")
        room.now += 1.0
    room.now += 5.0
    room.look(("a", Kind.COUNTER, 3.0 + STUCK_S + 5.0), ("still", Kind.COUNTER, value))
    assert room.idle == Idle(3.0 + STUCK_S + 5.0, "a", ("still stands still and does not count",))
    for step in range(10):  # it moves again: as good as new
        room.now += 1.0
        room.look(("a", Kind.COUNTER, 9.0 + STUCK_S + step), ("still", Kind.COUNTER, value + step))
    assert room.idle.notes == ()
    assert room.idle.source == "still"


def test_standing_still_is_no_reason_to_drop_it_while_nobody_proven_grew(room: Room) -> None:
    for step in range(2000):
        room.now += 1.0
        room.look(("steady", Kind.COUNTER, 100.0 + step), ("zero", Kind.COUNTER, 0.0))
    assert room.idle == Idle(0.0, "zero")


def test_what_comes_back_after_an_hour_is_not_taken_for_standing_still(room: Room) -> None:
    room.prove("a", "b")
    for step in range(3600):
        room.now += 1.0
        room.look(("a", Kind.COUNTER, 4.0 + step), ("b", Kind.COUNTER, None))
    assert room.idle == Idle(3603.0, "a")
    room.now += 1.0
    assert room.look(("a", Kind.COUNTER, 3604.0), ("b", Kind.COUNTER, 0.0)) == Idle(0.0, "b")


def test_a_service_that_answers_in_seconds_what_is_read_as_ms_is_dropped(room: Room) -> None:
    room.prove("a")
    for step in range(700):
        room.now += 1.0
        room.look(("a", Kind.COUNTER, 4.0 + step), ("s", Kind.COUNTER, (4.0 + step) / 1000))
    assert room.idle == Idle(703.0, "a", ("s stands still and does not count",))


@pytest.mark.parametrize("lie", [-1.0, NAN, math.inf, 20.0, 4.0e9])
def test_a_lie_costs_the_trust_until_the_counter_is_proven_again(room: Room, lie: float) -> None:
    room.prove("a")
    assert room.counter(4.0).idle_s == 4.0
    assert room.counter(lie) == Idle(None, notes=("a makes no sense and is not trusted",))
    assert room.counter(*growing(15.0, 60)).idle_s is None
    assert room.counter(0.5).idle_s == 0.5
    assert room.counter(*growing(1.5, 60)) == Idle(60.5, "a")


def test_a_fall_to_an_input_before_the_last_look_is_a_lie(room: Room) -> None:
    room.prove("a")
    room.counter(*growing(4.0, 100))
    assert room.counter(50.0) == Idle(None, notes=("a makes no sense and is not trusted",))


def test_a_counter_of_whole_seconds_or_a_late_answer_is_no_lie(room: Room) -> None:
    room.prove("a")
    assert room.counter(4.0, 4.0, 6.0, 8.0, 8.0, 9.5) == Idle(9.5, "a")


def test_a_counter_of_a_slightly_faster_clock_is_believed_all_night(room: Room) -> None:
    room.prove("a")
    for step in range(1, 40_000):
        room.now += 1.0
        room.look(("a", Kind.COUNTER, 3.0 + step * 1.001))
    assert room.idle.idle_s == pytest.approx(40_042, abs=2)


def test_a_gamepad_says_in_use_and_never_away(room: Room) -> None:
    assert room.look(("pad", Kind.PRESENCE, 2.0)) == Idle(2.0, "pad")
    room.now += 3600.0
    assert room.look(("pad", Kind.PRESENCE, 3602.0)) == Idle(None)
    room.prove("a")
    assert room.look(("a", Kind.COUNTER, 3.0), ("pad", Kind.PRESENCE, 3612.0)).source == "a"
    assert room.look(("a", Kind.COUNTER, 3.0), ("pad", Kind.PRESENCE, 1.0)) == Idle(1.0, "pad")
    assert room.look(("a", Kind.COUNTER, 3.0), ("pad", Kind.PRESENCE, NAN)) == Idle(3.0, "a")


def test_a_hint_counts_where_it_is_tended_and_no_counter_is_trusted(room: Room) -> None:
    assert room.look(("hint", Kind.HINT, 300.0)) == Idle(None)  # perhaps left behind by whoever was here before
    assert room.look(("hint", Kind.HINT, 0.0)) == Idle(None)
    assert room.look(("hint", Kind.HINT, 300.0)) == Idle(300.0, "hint")
    assert room.look(("hint", Kind.HINT, 300.0), ("new", Kind.COUNTER, 250.0)) == Idle(250.0, "new")
    room.now += 5.0
    room.prove("a")
    assert room.look(("hint", Kind.HINT, 1.0), ("a", Kind.COUNTER, 3.0)) == Idle(3.0, "a")  # it never lowers


anything = st.one_of(st.none(), st.floats(-5, 1e5), st.sampled_from([0.0, NAN, math.inf, 700.0]))
kinds = st.sampled_from(list(Kind))
#: Seconds until the next look, whether the person touched something then, and what three sources say.
steps = st.lists(st.tuples(st.floats(0.1, 400), st.booleans(), st.tuples(anything, anything, anything)), max_size=40)


def honest(
    room: Room, steps: Iterable[tuple[float, bool, tuple[float | None, ...]]]
) -> Iterable[tuple[float, tuple[float | None, ...]]]:
    """What a counter that never errs says, and what the others say."""
    for pause_s, touched, others in steps:
        room.now += pause_s
        if touched:
            room.touched_at = room.now - min(0.05, pause_s)
        yield room.now - room.touched_at, others


@given(steps, st.tuples(kinds, kinds, kinds))
def test_no_other_source_makes_the_answer_larger_than_what_an_honest_counter_says(
    steps: list[tuple[float, bool, tuple[float | None, ...]]], others: tuple[Kind, ...]
) -> None:
    room = Room()
    room.prove("honest")
    room.touched_at = room.now - 3.0
    for idle_s, said in honest(room, steps):
        readings = [
            (f"other{number}", kind, value) for number, (kind, value) in enumerate(zip(others, said, strict=True))
        ]
        told = room.look(("honest", Kind.COUNTER, idle_s), *readings).idle_s
        assert told is not None
        assert 0 <= told <= idle_s
        assert not any("honest" in note for note in room.idle.notes)


@given(steps, st.tuples(kinds, kinds, kinds))
def test_a_source_that_knows_nothing_changes_nothing_and_presence_makes_nothing_larger(
    steps: list[tuple[float, bool, tuple[float | None, ...]]], others: tuple[Kind, ...]
) -> None:
    room, fusions = Room(), [IdleFusion(), IdleFusion(), IdleFusion()]
    for idle_s, said in honest(room, steps):
        readings = [
            Reading(f"o{number}", kind, value, room.now)
            for number, (kind, value) in enumerate(zip(others, said, strict=True))
        ]
        plain = fusions[0].fold(readings)
        silent = fusions[1].fold([*readings, *(Reading(kind.value, kind, None, room.now) for kind in Kind)])
        played = fusions[2].fold([*readings, Reading("pad", Kind.PRESENCE, idle_s, room.now)])
        assert silent == plain
        if plain.idle_s is not None:
            assert played.idle_s is not None
            assert played.idle_s <= plain.idle_s
        else:
            assert played.idle_s is None or played.idle_s < IN_USE_S


@given(steps, st.tuples(kinds, kinds, kinds), st.integers(-500, 10**6))
def test_where_the_clock_began_does_not_matter(
    steps: list[tuple[float, bool, tuple[float | None, ...]]], others: tuple[Kind, ...], began: int
) -> None:
    here, there = IdleFusion(), IdleFusion()
    now = 0
    for pause_s, _, said in steps:
        now += math.ceil(pause_s)
        for_both = [(f"o{number}", kind, value) for number, (kind, value) in enumerate(zip(others, said, strict=True))]
        assert here.fold([Reading(*each, float(now)) for each in for_both]) == there.fold(
            [Reading(*each, float(now + began)) for each in for_both]
        )


@given(st.lists(st.tuples(st.floats(0.1, 30), st.floats(0, 1e5)), max_size=60))
def test_nobody_is_away_by_a_counter_that_never_kept_step(steps: list[tuple[float, float]]) -> None:
    fusion, now = IdleFusion(), 0.0
    for pause_s, value in steps:
        now += pause_s + 3.0
        told = fusion.fold([Reading("stuck", Kind.COUNTER, round(value / 1e5), now)])
        assert told.idle_s is None or told.idle_s < IN_USE_S
