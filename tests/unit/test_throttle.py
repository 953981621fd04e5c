"""The slots of the throttle: one interval apart whatever is given back, cleared or started late."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from gogrid_desktop.core.throttle import Slot, Throttle


def test_a_hundred_tasks_at_once_start_one_interval_apart() -> None:
    throttle = Throttle()
    slots = [throttle.reserve(now=50.0, interval_s=0.125) for _ in range(100)]
    assert [slot.at for slot in slots] == [50.0 + 0.125 * n for n in range(100)]
    for slot in slots:
        throttle.mark(slot, slot.at)
    assert (throttle.reserved, throttle.started, throttle.cancelled, throttle.waiting) == (100, 100, 0, 0)


def test_after_a_rest_the_next_one_starts_at_once() -> None:
    throttle = Throttle()
    throttle.reserve(10.0, 1.0)
    assert throttle.reserve(99.0, 1.0).at == 99.0


def test_the_last_slot_given_back_is_as_if_it_had_never_been() -> None:
    throttle = Throttle()
    throttle.reserve(100.0, 10.0)
    throttle.cancel(throttle.reserve(100.0, 10.0))
    assert throttle.reserve(112.0, 10.0).at == 112.0


def test_a_slot_given_back_in_the_middle_goes_to_the_next_one() -> None:
    throttle = Throttle()
    _, middle, _ = (throttle.reserve(100.0, 10.0) for _ in range(3))
    throttle.cancel(middle)
    assert throttle.reserve(105.0, 10.0) == middle
    assert throttle.reserve(105.0, 10.0).at == 130.0


def test_a_slot_in_the_middle_that_has_passed_is_not_used() -> None:
    throttle = Throttle()
    _, middle, _ = (throttle.reserve(100.0, 10.0) for _ in range(3))
    throttle.cancel(middle)
    assert throttle.reserve(112.0, 10.0).at == 130.0


def test_a_slot_in_the_middle_that_is_too_short_for_a_longer_interval_is_not_used() -> None:
    throttle = Throttle()
    _, middle, _ = (throttle.reserve(100.0, 10.0) for _ in range(3))
    throttle.cancel(middle)
    assert throttle.reserve(105.0, 15.0).at == 130.0
    assert throttle.reserve(105.0, 5.0) == middle


@pytest.mark.parametrize("middle_first", [True, False])
def test_the_end_of_the_queue_is_free_again_in_whatever_order_it_is_given_back(middle_first: bool) -> None:
    throttle = Throttle()
    _, middle, last = (throttle.reserve(100.0, 10.0) for _ in range(3))
    for slot in (middle, last) if middle_first else (last, middle):
        throttle.cancel(slot)
    assert throttle.reserve(105.0, 10.0).at == 110.0


def test_after_a_start_that_came_late_the_next_is_due_an_interval_after_it() -> None:
    throttle = Throttle()
    late, next_one = throttle.reserve(100.0, 10.0), throttle.reserve(100.0, 10.0)
    throttle.mark(late, 107.0)
    assert throttle.due(next_one) == 117.0
    with pytest.raises(ValueError, match=r"due at 117\.0"):
        throttle.mark(next_one, 110.0)
    throttle.mark(next_one, 117.0)
    assert throttle.reserve(118.0, 10.0).at == 127.0


def test_slots_are_reserved_anew_for_a_new_interval_and_keep_their_distance_from_the_last_start() -> None:
    throttle = Throttle()
    first, _, _ = (throttle.reserve(100.0, 10.0) for _ in range(3))
    throttle.mark(first, 100.0)
    throttle.clear()
    assert throttle.waiting == 0
    assert [throttle.reserve(101.0, 2.0).at for _ in range(2)] == [102.0, 104.0]
    assert throttle.waiting == 2


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_no_interval_means_no_wait(times: list[float]) -> None:
    throttle = Throttle()
    for now in sorted(times):
        slot = throttle.reserve(now, 0.0)
        assert throttle.due(slot) == slot.at == now
        throttle.mark(slot, now)


class ManyTasks(RuleBasedStateMachine):
    """Tasks that reserve, start (often late) and give up in any order while time passes and the interval changes."""

    waiting = Bundle("waiting")

    def __init__(self) -> None:
        super().__init__()
        self.throttle = Throttle()
        self.now = 0.0
        self.taken: set[Slot] = set()
        self.starts: list[tuple[float, float]] = [(-math.inf, 0.0)]
        self.counts = [0, 0, 0]

    @rule(seconds=st.integers(0, 30))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(target=waiting, interval_s=st.integers(1, 10))
    def reserve(self, interval_s: int) -> Slot:
        slot = self.throttle.reserve(self.now, float(interval_s))
        assert slot.at >= self.now
        assert slot not in self.taken
        self.taken.add(slot)
        self.counts[0] += 1
        return slot

    @rule(slot=consumes(waiting), late_s=st.integers(0, 5))
    def start(self, slot: Slot, late_s: int) -> None:
        self.now = max(self.now, self.throttle.due(slot)) + late_s
        self.throttle.mark(slot, self.now)
        self.starts.append((self.now, slot.interval_s))
        self.counts[1] += 1

    @rule(slot=consumes(waiting))
    def give_up(self, slot: Slot) -> None:
        self.throttle.cancel(slot)
        self.taken.discard(slot)
        self.counts[2] += 1

    @invariant()
    def no_two_slots_lie_closer_than_their_interval(self) -> None:
        for one, other in pairwise(sorted(self.taken, key=lambda slot: slot.at)):
            assert one.until <= other.at

    @invariant()
    def no_start_lies_closer_to_the_one_before_it_than_its_interval(self) -> None:
        for (before, _), (at, interval_s) in pairwise(self.starts):
            assert at - before >= interval_s

    @invariant()
    def the_counts_are_exact(self) -> None:
        assert [self.throttle.reserved, self.throttle.started, self.throttle.cancelled] == self.counts
        assert self.throttle.waiting == self.counts[0] - self.counts[1] - self.counts[2]


TestManyTasks = ManyTasks.TestCase
TestManyTasks.settings = settings(deadline=None)
