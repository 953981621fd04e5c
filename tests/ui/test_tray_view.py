"""What the tray says, sentence by sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fixtures_scripted_agent import SHARING, STATUSES
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.core.status import AgentState, AgentStatus
from gogrid_desktop.ui.view import (
    PATIENCE,
    TOOLTIP_CHARS,
    AgentRun,
    Connection,
    Link,
    SnoozeAction,
    TrayView,
    clock_time,
    tray_view,
)

NOW = datetime(2026, 3, 10, 14, 40, tzinfo=UTC).timestamp()
CONNECTED = Connection(Link.CONNECTED)
OURS = AgentRun(ours=True)
FOREIGN = AgentRun()


def utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def seen(
    status: AgentStatus | None, connection: Connection = CONNECTED, run: AgentRun = OURS, now: float = NOW
) -> TrayView:
    return tray_view(status, connection, run, now, utc)


@pytest.mark.parametrize(
    ("state", "tooltip"),
    [
        (AgentState.STARTING, "Starting: loading the model."),
        (AgentState.SHARING, "Sharing: you are away.  3 jobs, 41 tokens/s."),
        (AgentState.GENTLE, "Sharing gently: you typed 12 s ago.  3 jobs, 41 tokens/s."),
        (AgentState.PAUSED, "Paused: you switched sharing off."),
        (AgentState.IDLE, "Nothing to do: the grid has no job for this computer."),
        (AgentState.OFFLINE, "Offline: the grid does not answer."),
        (AgentState.NEEDS_YOU, "Needs you: this computer has not joined a grid yet."),
    ],
)
def test_every_state_has_its_icon_and_its_sentence(state: AgentState, tooltip: str) -> None:
    view = seen(STATUSES[state])
    assert (view.icon, view.tooltip) == (state, tooltip)


def test_the_menu_says_why_and_what_comes_next() -> None:
    view = seen(STATUSES[AgentState.GENTLE])
    assert view.status_line == "Sharing gently: you typed 12 s ago"
    assert view.what_next == "Balanced in 2 min if you stay away"


@pytest.mark.parametrize(
    ("jobs", "rate", "counts"),
    [
        (0, 0.0, ""),
        (0, 12.0, ""),
        (1, 4.25, "1 job, 4.2 tokens/s."),
        (1, 0.0, "1 job, 0.0 tokens/s."),
        (16, 41.4, "16 jobs, 41 tokens/s."),
        (1200, 12345.6, "1,200 jobs, 12,346 tokens/s."),
    ],
)
def test_jobs_are_counted_in_plain_words_and_only_while_there_are_some(jobs: int, rate: float, counts: str) -> None:
    assert seen(replace(SHARING, jobs_running=jobs, tokens_per_s=rate)).counts == counts


@pytest.mark.parametrize(
    ("sharing", "snooze_until", "checked", "action", "enabled", "text"),
    [
        (True, None, True, SnoozeAction.PAUSE, True, "Pause for 1 hour"),
        (False, None, False, SnoozeAction.PAUSE, False, "Pause for 1 hour"),
        (True, NOW + 3600, False, SnoozeAction.RESUME, True, "Share again now (paused until 15:40)"),
        (False, NOW + 3600, False, SnoozeAction.RESUME, True, "Share again now (paused until 15:40)"),
        (True, NOW + 12 * 3600, False, SnoozeAction.RESUME, True, "Share again now (paused until Wed 02:40)"),
        (True, NOW, True, SnoozeAction.PAUSE, True, "Pause for 1 hour"),
    ],
)
def test_the_toggle_is_the_permission_and_a_snooze_has_an_end(
    sharing: bool, snooze_until: float | None, checked: bool, action: SnoozeAction, enabled: bool, text: str
) -> None:
    view = seen(replace(SHARING, sharing=sharing, snooze_until=snooze_until))
    assert (view.share_checked, view.snooze_action, view.snooze_enabled, view.snooze_text) == (
        checked,
        action,
        enabled,
        text,
    )
    assert view.snoozing is (action is SnoozeAction.RESUME)


def test_a_rule_that_pauses_leaves_the_toggle_on() -> None:
    view = seen(replace(SHARING, state=AgentState.PAUSED, headline="Paused", reason="a video plays", jobs_running=0))
    assert (view.icon, view.share_checked) == (AgentState.PAUSED, True)


@pytest.mark.parametrize(
    ("connection", "run", "icon", "line", "can_start"),
    [
        (Connection(), FOREIGN, AgentState.STARTING, "Starting: looking for the agent", False),
        (Connection(failures=1), FOREIGN, AgentState.STARTING, "Starting: looking for the agent", False),
        (Connection(failures=8), OURS, AgentState.STARTING, "Starting: waiting for the agent to answer", False),
        (
            Connection(failures=9),
            OURS,
            AgentState.NEEDS_YOU,
            "Not sharing: the agent does not answer; quit and start GoGrid again",
            False,
        ),
        (CONNECTED, OURS, AgentState.STARTING, "Starting: waiting for the agent's status", False),
        (
            Connection(failures=PATIENCE),
            FOREIGN,
            AgentState.NEEDS_YOU,
            "Not sharing: the agent has stopped",
            True,
        ),
        (
            Connection(failures=PATIENCE, problem="the agent does not answer"),
            FOREIGN,
            AgentState.NEEDS_YOU,
            "Not sharing: the agent does not answer",
            True,
        ),
        (
            Connection(failures=1),
            AgentRun(failure="the agent ended: no model file."),
            AgentState.NEEDS_YOU,
            "Needs you: the agent ended: no model file",
            True,
        ),
        (
            Connection(Link.REFUSED, 1, "the running agent is another version"),
            FOREIGN,
            AgentState.NEEDS_YOU,
            "Needs you: the running agent is another version",
            False,
        ),
    ],
)
def test_without_a_status_the_tray_says_what_it_waits_for_and_offers_to_start(
    connection: Connection, run: AgentRun, icon: AgentState, line: str, can_start: bool
) -> None:
    view = seen(None, connection, run)
    assert (view.icon, view.status_line) == (icon, line)
    assert (view.share_enabled, view.share_starts_agent) == (can_start, can_start)
    assert not view.share_checked
    assert not view.snooze_enabled


def test_an_old_status_is_never_shown_after_the_line_broke() -> None:
    assert seen(SHARING, Connection(failures=PATIENCE), FOREIGN).icon is AgentState.NEEDS_YOU


def test_quitting_beside_a_foreign_agent_says_that_it_goes_on() -> None:
    assert seen(SHARING, run=FOREIGN).quit_text == "Quit (keep sharing in the background)"
    assert seen(SHARING, run=OURS).quit_text == "Quit"
    assert seen(None, Connection(), FOREIGN).quit_text == "Quit"


def test_a_time_of_today_has_no_day() -> None:
    assert clock_time(NOW + 60, NOW, utc) == "14:41"
    assert clock_time(NOW + 86400, NOW, utc) == "Wed 14:40"


TEXT = st.text(max_size=300)


@given(
    state=st.sampled_from(AgentState),
    headline=TEXT,
    reason=TEXT,
    problem=TEXT,
    jobs=st.integers(0, 10**9),
    rate=st.floats(0, 1e12),
    snooze_until=st.none() | st.floats(0, 2e9),
    sharing=st.booleans(),
    connection=st.builds(Connection, st.sampled_from(Link), st.integers(0, 99), TEXT),
    run=st.builds(AgentRun, st.booleans(), TEXT),
)
def test_whatever_the_agent_says_fits_and_never_claims_to_share_against_the_persons_will(
    state: AgentState,
    headline: str,
    reason: str,
    problem: str,
    jobs: int,
    rate: float,
    snooze_until: float | None,
    sharing: bool,
    connection: Connection,
    run: AgentRun,
) -> None:
    status = AgentStatus(
        version="1",
        pid=1,
        state=state,
        headline=headline,
        reason=reason,
        problem=problem,
        jobs_running=jobs,
        tokens_per_s=rate,
        snooze_until=snooze_until,
        sharing=sharing,
    )
    view = seen(status, connection, run)
    assert 0 < len(view.tooltip) <= TOOLTIP_CHARS
    assert not (view.share_checked and view.snoozing)
    assert not (view.share_checked and not sharing)
    if connection.link is not Link.CONNECTED:
        assert view.icon in (AgentState.STARTING, AgentState.NEEDS_YOU)
