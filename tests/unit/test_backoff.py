from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gogrid_desktop.core.backoff import BASE_S, CAP_S, GOOD_S, Backoff


def test_the_longest_wait_doubles_with_every_failure_up_to_the_cap() -> None:
    backoff = Backoff()
    waits = [backoff.after(0.0, 1.0) for _ in range(12)]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_the_jitter_reaches_down_to_no_wait_at_all() -> None:
    backoff = Backoff()
    assert [backoff.after(0.0, 0.0) for _ in range(3)] == [0, 0, 0]
    assert backoff.after(0.0, 0.5) == 4


def test_what_lived_long_enough_starts_anew() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(0.0, 1.0)
    assert backoff.after(GOOD_S - 0.1, 1.0) == 32
    assert backoff.after(GOOD_S, 1.0) == BASE_S
    assert backoff.after(0.0, 1.0) == 2 * BASE_S


def test_a_success_starts_anew() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(0.0, 1.0)
    backoff.reset()
    assert backoff.after(0.0, 1.0) == BASE_S


@pytest.mark.parametrize(("asked_s", "waited_s"), [(30, 30), (0, 0.5), (100_000, CAP_S), (0.2, 0.5)])
def test_the_other_side_may_ask_for_more_but_not_for_ever(asked_s: float, waited_s: float) -> None:
    assert Backoff().after(0.0, 0.5, retry_after_s=asked_s) == waited_s


@settings(deadline=None)
@given(st.integers(0, 3000), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_every_wait_lies_between_zero_and_the_cap(failures: int, jitter01: float, asked_s: float | None) -> None:
    backoff = Backoff()
    for _ in range(failures):
        backoff.after(0.0, 1.0)
    assert 0 <= backoff.after(0.0, jitter01, asked_s) <= CAP_S
