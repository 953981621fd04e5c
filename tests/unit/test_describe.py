"""Which of the seven states holds, and the words for it."""

from __future__ import annotations

import pytest

from gogrid_desktop.agent.describe import sentence, state_of
from gogrid_desktop.cli.control import parse_duration, particulars, three_lines
from gogrid_desktop.core.activity import Activity, Preferences, Role
from gogrid_desktop.core.policy import Decision, Memory, decide
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Profile
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.core.status import AgentState, AgentStatus, ThrottleStats, Totals, WorkerView
from gogrid_desktop.errors import BadInput


def decision(*, sharing: bool = True, idle_s: float | None = None, role: Role = Role.DESKTOP) -> Decision:
    activity = Activity(idle_s, "test", weekday=2, second_of_day=12 * 3600.0, power=Power(True), screen=Screen(False))
    return decide(activity, Preferences(role=role, sharing=sharing), Memory(), 1000.0)


@pytest.mark.parametrize(
    ("made", "problem", "connected", "jobs", "expected"),
    [
        (None, "x", False, 0, AgentState.STARTING),
        (decision(sharing=False), "x", False, 0, AgentState.PAUSED),
        (decision(), "join first", False, 0, AgentState.NEEDS_YOU),
        (decision(), "", False, 3, AgentState.OFFLINE),
        (decision(), "", True, 0, AgentState.IDLE),
        (decision(), "", True, 3, AgentState.GENTLE),
        (decision(role=Role.SERVER), "", True, 3, AgentState.SHARING),
    ],
)
def test_what_matters_most_comes_first(
    made: Decision | None, problem: str, connected: bool, jobs: int, expected: AgentState
) -> None:
    state = state_of(made, problem=problem, connected=connected, jobs_running=jobs)
    assert state is expected
    headline, reason = sentence(state, made, problem=problem, retry_in_s=40.0)
    assert headline
    assert reason or state is AgentState.STARTING


def test_offline_says_when_it_tries_again_and_that_work_is_kept() -> None:
    assert sentence(AgentState.OFFLINE, decision(), problem="", retry_in_s=40.2) == (
        "The grid does not answer",
        "Trying again in 40 s. Finished work is kept.",
    )


def test_a_status_is_three_lines() -> None:
    status = AgentStatus(
        version="1",
        pid=1,
        headline="Sharing gently",
        reason="you used the computer 12 s ago",
        what_next="Balanced in 2 min if you stay away",
        jobs_running=3,
        tokens_per_s=41.3,
        connected=True,
        coordinator="https://grid.example",
        totals=Totals(jobs=1284, tokens=2_100_000),
    )
    assert three_lines(status).splitlines() == [
        "Sharing gently: you used the computer 12 s ago",
        "Balanced in 2 min if you stay away",
        "3 jobs, 41 tokens/s, connected to https://grid.example; so far 1,284 jobs, 2,100,000 tokens",
    ]


def test_the_particulars_name_profile_limits_throttle_and_each_worker() -> None:
    status = AgentStatus(
        version="1",
        pid=1,
        profile=Profile.BALANCED,
        limits=PROFILE_LIMITS[Profile.BALANCED],
        throttle=ThrottleStats(1000, 250, 0.25, cancelled=3, rejected_for_vram=1, interval_ms=50),
        workers=(
            WorkerView("smol", "processing", 77, jobs=2, tokens_per_s=41.3, rss_bytes=300 * 2**20, rank="nice 10"),
            WorkerView("big", "failed", problem="It is no model. Fetch it again."),
        ),
    )
    assert particulars(status).splitlines() == [
        "profile   balanced: 80% of the time, 70% of the GPU's memory, 4 at once, nice 10, disk idle,"
        " 50 ms between requests",
        "requests  1,000; 250 waited (25.0%), 3 gave up, 1 refused for memory",
        "worker    smol: processing (pid 77), 2 jobs, 41 tokens/s, 300 MiB",
        "          nice 10",
        "worker    big: failed, 0 jobs, 0 tokens/s",
        "          It is no model. Fetch it again.",
    ]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("15 min", 900), ("1.5h", 5400), ("7d", 604800)]
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "15", "-1h", "8d", "0s", "1e9h", "1h30m"])
def test_a_bad_duration_names_value_and_range(text: str) -> None:
    with pytest.raises(BadInput, match="1s to 7 days"):
        parse_duration(text)
