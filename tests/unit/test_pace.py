"""The account of work and rest: the share holds in the mean, whatever the steps and the sleeps are like."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gogrid_desktop.core.profiles import NOTHING, PROFILE_LIMITS, Limits, Profile
from gogrid_desktop.worker.limits import MOST_AHEAD_S, Pace

SHARES = st.sampled_from([0.05, 0.3, 0.6, 0.8, 0.95])


def pace(share: float) -> Pace:
    it = Pace()
    it.limits = limits(share)
    return it


def limits(share: float) -> Limits:
    return replace(PROFILE_LIMITS[Profile.AGGRESSIVE], compute_share=share)


@settings(deadline=None)
@given(
    SHARES,
    st.lists(
        st.tuples(
            st.floats(0.001, 3.0),  # a step
            st.floats(0.0, 0.02),  # how late the sleep after it ends
        ),
        min_size=20,
        max_size=60,
    ),
)
def test_the_share_holds_over_long_steps_and_sleeps_that_end_late(
    share: float, steps: list[tuple[float, float]]
) -> None:
    it, now, busy = pace(share), 100.0, 0.0
    for took_s, late_s in steps:
        now = max(now, it.next_step_s) + (late_s if it.next_step_s > now else 0.0)
        it.stepped(now, now + took_s)
        now += took_s
        busy += took_s
    whole = max(now, it.next_step_s) - 100.0
    # What was slept too long for the last steps could not be made up for yet.
    assert share * (whole - MOST_AHEAD_S) - 1e-6 <= busy <= share * whole + 1e-6


@given(SHARES, st.floats(0.1, 1e6))
@settings(deadline=None)
def test_a_long_pause_earns_no_burst(share: float, pause_s: float) -> None:
    it = pace(share)
    it.stepped(0.0, 0.1)
    now = it.next_step_s + pause_s
    busy = 0.0
    while it.next_step_s <= now and busy < 10.0:
        it.stepped(now, now + 0.001)
        now, busy = now + 0.001, busy + 0.001
    assert busy <= MOST_AHEAD_S / (1 / share - 1) + 0.002


def test_work_between_two_steps_is_rested_for_as_well() -> None:
    it = pace(0.5)
    it.stepped(0.0, 1.0)
    it.worked(1.0, 1.5)
    assert it.next_step_s == pytest.approx(3.0)


def test_work_that_overlaps_a_step_counts_once() -> None:
    it = pace(0.5)
    it.worked(0.0, 1.0)
    it.stepped(0.5, 2.0)
    assert it.next_step_s == pytest.approx(4.0)


def test_new_limits_count_for_the_rest_that_is_on() -> None:
    it = pace(0.5)
    it.stepped(0.0, 1.0)
    assert it.next_step_s == pytest.approx(2.0)
    it.limits = limits(0.25)
    assert it.next_step_s == pytest.approx(4.0)
    it.limits = limits(1.0)
    assert it.next_step_s == pytest.approx(1.0)


def test_with_the_whole_there_is_no_rest_and_nothing_is_owed_later() -> None:
    it = pace(1.0)
    for second in range(10):
        it.stepped(second, second + 1.0)
    assert it.next_step_s == 10.0
    it.stepped(10.0, 10.1)
    it.limits = limits(0.5)
    assert it.next_step_s == pytest.approx(10.2)


@pytest.mark.parametrize("nothing", [NOTHING, replace(limits(0.5), batch=0), replace(limits(0.0), batch=4)])
def test_where_nothing_is_allowed_no_step_ever_comes(nothing: Limits) -> None:
    it = Pace()
    it.limits = nothing
    it.worked(0.0, 1.0)  # a prompt may be read meanwhile
    it.worked(5.0, 6.0)
    assert it.stopped
    assert it.next_step_s == math.inf


def test_a_start_comes_an_interval_after_the_last_whatever_the_interval_was_then() -> None:
    it = Pace()
    it.limits = replace(limits(1.0), interval_ms=100)
    assert it.next_start_s == -math.inf
    it.started(50.0)
    assert it.next_start_s == pytest.approx(50.1)
    it.limits = replace(limits(1.0), interval_ms=3000)
    assert it.next_start_s == pytest.approx(53.0)
