from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from gogrid_desktop.core.throttle import Slot, Throttle


def test_a_hundred_tasks_at_once_start_one_interval_apart() -> None:
    throttle, slots = Throttle(), []
    for _ in range(100):
        throttle, slot = throttle.reserve(now=50.0, interval_s=0.125)
        slots.append(slot)
    assert [slot.at for slot in slots] == [50.0 + 0.125 * n for n in range(100)]
    for slot in slots:
        throttle = throttle.mark(slot)
    assert (throttle.reserved, throttle.started, throttle.cancelled) == (100, 100, 0)


def test_after_a_rest_the_next_one_starts_at_once() -> None:
    throttle, _ = Throttle().reserve(10.0, 1.0)
    _, slot = throttle.reserve(99.0, 1.0)
    assert slot.at == 99.0


def test_the_last_slot_given_back_is_as_if_it_had_never_been() -> None:
    throttle, _ = Throttle().reserve(100.0, 10.0)
    before = throttle.next_free
    throttle, waiting = throttle.reserve(100.0, 10.0)
    throttle = throttle.cancel(waiting)
    assert throttle.next_free == before
    assert throttle.reserve(112.0, 10.0)[1].at == 112.0


def test_a_slot_given_back_in_the_middle_goes_to_the_next_one() -> None:
    throttle, _ = Throttle().reserve(100.0, 10.0)
    throttle, middle = throttle.reserve(100.0, 10.0)
    throttle, _last = throttle.reserve(100.0, 10.0)
    throttle = throttle.cancel(middle)
    throttle, again = throttle.reserve(105.0, 10.0)
    assert again == middle
    assert throttle.reserve(105.0, 10.0)[1].at == 130.0


def test_a_slot_in_the_middle_that_has_passed_is_not_used() -> None:
    throttle, _ = Throttle().reserve(100.0, 10.0)
    throttle, middle = throttle.reserve(100.0, 10.0)
    throttle, _last = throttle.reserve(100.0, 10.0)
    assert throttle.cancel(middle).reserve(112.0, 10.0)[1].at == 130.0


@pytest.mark.parametrize("middle_first", [True, False])
def test_the_end_of_the_queue_is_free_again_in_whatever_order_it_is_given_back(middle_first: bool) -> None:
    throttle, _ = Throttle().reserve(100.0, 10.0)
    throttle, middle = throttle.reserve(100.0, 10.0)
    throttle, last = throttle.reserve(100.0, 10.0)
    for slot in (middle, last) if middle_first else (last, middle):
        throttle = throttle.cancel(slot)
    assert throttle.next_free == 110.0
    assert throttle.returned == ()


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_no_interval_means_no_wait(times: list[float]) -> None:
    throttle = Throttle()
    for now in sorted(times):
        throttle, slot = throttle.reserve(now, 0.0)
        assert slot.at == now


class ManyTasks(RuleBasedStateMachine):
    """Tasks that reserve, start and give up in any order while time passes and the interval changes."""

    waiting = Bundle("waiting")

    def __init__(self) -> None:
        super().__init__()
        self.throttle = Throttle()
        self.now = 0.0
        self.taken: set[Slot] = set()
        self.counts = [0, 0, 0]

    @rule(seconds=st.integers(0, 30))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(target=waiting, interval_s=st.integers(1, 10))
    def reserve(self, interval_s: int) -> Slot:
        self.throttle, slot = self.throttle.reserve(self.now, float(interval_s))
        assert slot.at >= self.now
        assert slot not in self.taken
        self.taken.add(slot)
        self.counts[0] += 1
        return slot

    @rule(slot=consumes(waiting))
    def start(self, slot: Slot) -> None:
        self.now = max(self.now, slot.at)
        self.throttle = self.throttle.mark(slot)
        self.counts[1] += 1

    @rule(slot=consumes(waiting))
    def give_up(self, slot: Slot) -> None:
        self.throttle = self.throttle.cancel(slot)
        self.taken.discard(slot)
        self.counts[2] += 1

    @invariant()
    def no_two_starts_lie_closer_than_their_interval(self) -> None:
        for one, other in pairwise(sorted(self.taken, key=lambda slot: slot.at)):
            assert one.until <= other.at

    @invariant()
    def the_counts_are_exact(self) -> None:
        assert [self.throttle.reserved, self.throttle.started, self.throttle.cancelled] == self.counts


TestManyTasks = ManyTasks.TestCase
TestManyTasks.settings = settings(deadline=None)
