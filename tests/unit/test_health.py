"""What counts as well, and what is done about a worker that is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.agent.vitals import Vitals
from gogrid_desktop.core.health import (
    DEEP_DEAD_S,
    DEEP_EVERY_S,
    FEWEST,
    LOAD_S,
    PING_DEAD_S,
    STALL_S,
    STEP_FIRST_S,
    STEP_LEAST_S,
    STEP_MOST_S,
    Action,
    Check,
    Pace,
    Readings,
    judge,
)
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Limits, Profile
from gogrid_desktop.core.worker_state import WorkerState as S
from gogrid_desktop.worker import messages as w

NOW = 100_000.0
GIB = 2**30
BUSY = Readings(S.PROCESSING, since=NOW - 500, running=2, progress_at=NOW)
IDLE = Readings(S.IDLE, since=NOW - 1, progress_at=NOW)


def verdict(readings: Readings, **changes: object) -> tuple[Check | None, Action]:
    found = judge(replace(readings, **changes), NOW)  # type: ignore[arg-type]
    assert found.well is not bool(found.sentence)
    return found.check, found.action


def test_a_worker_that_makes_steps_or_has_nothing_to_do_is_well() -> None:
    assert verdict(BUSY) == verdict(IDLE) == (None, Action.NONE)


def test_an_answer_that_is_late_is_said_and_one_that_never_comes_ends_the_worker() -> None:
    assert verdict(BUSY, answered_s=0.09) == (None, Action.NONE)
    assert verdict(BUSY, answered_s=0.2) == (Check.PING, Action.NONE)
    assert verdict(BUSY, asked_at=NOW - PING_DEAD_S + 1) == (None, Action.NONE)
    assert verdict(BUSY, asked_at=NOW - PING_DEAD_S) == (Check.PING, Action.KILL)


def test_a_step_may_take_what_steps_take_here_and_not_much_more() -> None:
    assert Pace().step_limit_s == STEP_FIRST_S
    small, large = Pace().stepped(0.02), Pace().stepped(12.0)
    assert small.step_limit_s == STEP_LEAST_S
    assert verdict(BUSY, pace=small, busy_s=STEP_LEAST_S + 1) == (Check.PROGRESS, Action.KILL)
    assert verdict(BUSY, pace=large, busy_s=STEP_LEAST_S + 1) == (None, Action.NONE)
    assert Pace().stepped(1000.0).step_limit_s == STEP_MOST_S
    assert small.killed().step_limit_s == 2 * STEP_LEAST_S, "a slow one must not be killed for ever"


def test_no_step_while_jobs_run_is_a_hang_unless_the_limits_or_a_pause_ask_for_it() -> None:
    still = {"progress_at": NOW - STALL_S - 1}
    assert verdict(BUSY, **still) == (Check.PROGRESS, Action.KILL)
    assert verdict(BUSY, **still, paused=True) == (None, Action.NONE)
    assert verdict(BUSY, **still, rest_s=2.0) == (None, Action.NONE)
    assert verdict(BUSY, **still, running=0) == (None, Action.NONE)
    assert verdict(BUSY, progress_at=NOW - 3.5) == (None, Action.NONE), "a prompt of 1 MB takes 3 s to tokenise"


def test_a_load_may_take_long_but_not_for_ever() -> None:
    loading = Readings(S.LOADING, since=NOW - LOAD_S)
    assert verdict(loading) == (None, Action.NONE)
    assert verdict(loading, since=NOW - LOAD_S - 1) == (Check.PROGRESS, Action.KILL)


def test_an_idle_worker_is_asked_for_a_real_token_now_and_then_and_a_busy_one_never() -> None:
    rested = {"since": NOW - DEEP_EVERY_S}
    assert verdict(IDLE) == (None, Action.NONE)
    assert verdict(IDLE, **rested) == (None, Action.PROBE)
    assert verdict(IDLE, **rested, paused=True) == (None, Action.NONE)
    assert verdict(BUSY) == (None, Action.NONE)
    again = {"since": NOW - 9999, "probe_s": 0.1}
    assert verdict(IDLE, **again, probed_at=NOW - DEEP_EVERY_S + 1) == (None, Action.NONE)
    assert verdict(IDLE, **again, probed_at=NOW - DEEP_EVERY_S) == (None, Action.PROBE)


def test_a_token_that_is_slow_is_said_one_that_fails_renews_and_one_that_never_comes_ends() -> None:
    at = {"probed_at": NOW - 5}
    assert verdict(IDLE, **at, probe_s=1.4) == (Check.DEEP, Action.NONE)
    assert verdict(IDLE, **at, probe_s=0.1, probe_problem="no logits.") == (Check.DEEP, Action.RENEW)
    assert verdict(IDLE, **at) == (None, Action.NONE)
    assert verdict(IDLE, probed_at=NOW - DEEP_DEAD_S - 1) == (Check.DEEP, Action.KILL)


def test_memory_beyond_what_was_planned_renews_the_worker_when_idle_and_ends_one_that_runs_away() -> None:
    planned = {"bound_bytes": 4 * GIB}
    assert verdict(BUSY, **planned, held_bytes=5 * GIB) == (None, Action.NONE)
    assert verdict(BUSY, **planned, held_bytes=6 * GIB) == (Check.MEMORY, Action.RENEW)
    assert verdict(BUSY, **planned, held_bytes=9 * GIB) == (Check.MEMORY, Action.END)
    assert verdict(BUSY, bound_bytes=0, held_bytes=99 * GIB) == (None, Action.NONE), "nothing was planned"


def test_steps_far_slower_than_usual_are_said() -> None:
    pace = Pace()
    for _ in range(FEWEST * 10):
        pace = pace.stepped(0.1)
    assert verdict(BUSY, pace=pace) == (None, Action.NONE)
    assert verdict(BUSY, pace=pace.stepped(0.9).stepped(0.9)) == (Check.LATENCY, Action.NONE)
    assert verdict(BUSY, pace=Pace().stepped(0.1).stepped(5.0)) == (None, Action.NONE), "too few to say"


readings = st.builds(
    Readings,
    state=st.sampled_from(S),
    since=st.floats(0, NOW),
    asked_at=st.none() | st.floats(0, NOW),
    answered_s=st.floats(0, 20),
    busy_s=st.floats(0, 500),
    running=st.integers(0, 3),
    paused=st.booleans(),
    progress_at=st.floats(0, NOW),
    rest_s=st.floats(0, 500),
    probed_at=st.none() | st.floats(0, NOW),
    probe_s=st.none() | st.floats(0, 500),
    probe_problem=st.sampled_from(("", "no logits.")),
    held_bytes=st.integers(0, 2**40),
    bound_bytes=st.integers(0, 2**40),
)


@given(readings)
def test_a_kill_has_a_reason_and_a_probe_never_meets_a_job(found: Readings) -> None:
    said = judge(found, NOW)
    assert said == judge(found, NOW)
    if said.action in (Action.KILL, Action.END, Action.RENEW):
        assert said.sentence.endswith(".")
    if said.action is Action.PROBE:
        assert found.state in (S.IDLE, S.READY)
        assert not found.running
        assert not found.paused


@given(st.lists(st.floats(0, 1000), max_size=700))
def test_the_time_that_a_step_may_take_is_bounded_and_longer_than_any_that_was_seen(
    took: list[float],
) -> None:
    pace = Pace()
    for each in took:
        pace = pace.stepped(each)
    assert STEP_LEAST_S <= pace.step_limit_s <= STEP_MOST_S
    if pace.recent:
        assert pace.step_limit_s >= min(max(pace.recent), STEP_MOST_S)


# --- the readings as a worker's answers make them --------------------------------------------------------------------

LIMITS = PROFILE_LIMITS[Profile.BALANCED]


def pong(seq: int, steps: int, running: int = 1, longest_s: float = 0.1) -> w.Pong:
    return w.Pong(seq=seq, steps=steps, running=running, rss_bytes=GIB, busy_s=0.0, longest_s=longest_s)


def test_one_ping_is_under_way_at_a_time_and_its_answer_is_timed() -> None:
    vitals = Vitals()
    assert vitals.pinging(1, 10.0)
    assert not vitals.pinging(2, 11.0)
    assert vitals.readings(LIMITS, paused=False).asked_at == 10.0
    vitals.ponged(pong(1, 0), 10.05)
    assert vitals.readings(LIMITS, paused=False).answered_s == pytest.approx(0.05)
    assert vitals.pinging(2, 11.0)
    vitals.excuse(12.0)
    assert vitals.readings(LIMITS, paused=False).asked_at is None


@pytest.mark.parametrize("state", [S.LOADING, S.READY, S.PROCESSING])
def test_a_worker_is_not_blamed_for_the_hours_in_which_the_computer_slept(state: S) -> None:
    vitals, woke = Vitals(), 100_000.0
    vitals.became(state, 0.0)
    vitals.ponged(pong(1, 5, running=int(state is S.PROCESSING)), 1.0)
    vitals.pinging(2, 2.0)
    vitals.probing(3, 2.0)
    assert judge(vitals.readings(LIMITS, paused=False), woke).action is Action.KILL
    vitals.excuse(woke)
    assert judge(vitals.readings(LIMITS, paused=False), woke + 1.0).well
    assert vitals.pinging(4, woke + 1.0)


def test_progress_is_a_step_that_was_counted_or_nothing_to_do() -> None:
    vitals = Vitals()
    vitals.became(S.PROCESSING, 0.0)
    for now, steps, running, expected in ((1.0, 5, 1, 1.0), (2.0, 5, 1, 1.0), (3.0, 5, 0, 3.0), (4.0, 6, 1, 4.0)):
        vitals.ponged(pong(1, steps, running), now)
        assert vitals.readings(LIMITS, paused=False).progress_at == expected


def test_rests_count_the_share_and_the_interval_and_limits_of_nothing_are_a_pause() -> None:
    vitals = Vitals()
    vitals.ponged(pong(1, 1, longest_s=2.0), 1.0)
    slow = Limits(0.5, 1.0, 1, 0, 0, None, 3000)
    assert vitals.readings(slow, paused=False).rest_s == pytest.approx(5.0)
    assert vitals.readings(PROFILE_LIMITS[Profile.PAUSED], paused=False).paused


def test_what_a_worker_holds_when_it_has_just_loaded_is_in_bounds_whatever_was_expected() -> None:
    vitals = Vitals()
    assert vitals.readings(LIMITS, paused=False).bound_bytes == 0
    vitals.expected_bytes = 5
    vitals.became(S.READY, 0.0)
    vitals.ponged(pong(1, 0), 1.0)
    assert vitals.readings(LIMITS, paused=False).bound_bytes == GIB


def test_a_new_process_begins_anew_but_the_pace_of_the_model_is_remembered() -> None:
    vitals = Vitals()
    vitals.probing(1, 1.0)
    vitals.ponged(pong(1, 9, longest_s=2.0), 1.0)
    vitals.reset(50.0)
    now = vitals.readings(LIMITS, paused=False)
    assert (now.probed_at, now.asked_at, now.running, now.held_bytes, now.since) == (None, None, 0, 0, 50.0)
    assert now.pace.recent == (2.0,)


def test_a_probe_that_met_a_job_is_no_complaint() -> None:
    vitals = Vitals()
    vitals.became(S.IDLE, 0.0)
    vitals.probing(7, 1.0)
    vitals.became(S.PROCESSING, 2.0)
    vitals.probed(w.Probed(seq=7, took_ms=0.0, problem="jobs are running"))
    assert vitals.readings(LIMITS, paused=False).probe_problem == ""
