"""What the tray says, as a pure function of what it knows, so that every sentence can be tested without a desktop.

Icon, tooltip, menu and window all show one `TrayView`; they never decide anything themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gogrid_desktop.core.status import AgentState, AgentStatus

#: A foreign panel may show no more than this of a tooltip (Windows: 128 UTF-16 units with the closing zero).
TOOLTIP_CHARS = 127
#: So many failed attempts in a row mean that the agent is gone, not merely restarting.
PATIENCE = 4
#: One that we started has some 20 s to load and to listen.
PATIENCE_WITH_OURS = 9
SNOOZE_S = 3600.0


class Link(StrEnum):
    """How the tray stands with the agent."""

    SEARCHING = "searching"  # the last attempt failed or none was made yet
    CONNECTED = "connected"
    REFUSED = "refused"  # an agent answers, but not to us


@dataclass(frozen=True, slots=True)
class Connection:
    """`failures` counts the failed attempts since the last success; `problem` is a sentence for the person."""

    link: Link = Link.SEARCHING
    failures: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class AgentRun:
    """The agent process as this tray knows it: whether one that we started lives, and how the last one failed."""

    ours: bool = False
    failure: str = ""


class SnoozeAction(StrEnum):
    """What the second menu entry does."""

    PAUSE = "pause"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class TrayView:
    """All that is shown. `what_next` and `counts` may be empty: then their line is left out."""

    icon: AgentState
    snoozing: bool
    tooltip: str
    headline: str
    why: str
    what_next: str
    counts: str
    share_checked: bool
    share_enabled: bool
    share_starts_agent: bool
    snooze_text: str
    snooze_action: SnoozeAction
    snooze_enabled: bool
    quit_text: str

    @property
    def status_line(self) -> str:
        return f"{self.headline}: {self.why}" if self.why else self.headline


def tray_view(
    status: AgentStatus | None,
    connection: Connection,
    run: AgentRun,
    now: float,
    local: Callable[[float], datetime] = datetime.fromtimestamp,
) -> TrayView:
    """The view at `now` (seconds since the epoch). `status` is the last one received, `local` gives civil time."""
    connected = connection.link is Link.CONNECTED
    if not connected or status is None:
        icon, headline, why = _without_status(connection, run)
        absent = connection.link is Link.SEARCHING and not run.ours and connection.failures >= PATIENCE
        startable = absent or (not run.ours and bool(run.failure))
        return _view(icon, headline, why, share_enabled=startable, share_starts_agent=startable, run=run)

    snoozing = status.snooze_until is not None and status.snooze_until > now
    why = status.problem if status.state is AgentState.NEEDS_YOU and status.problem else status.reason
    snooze_text, action = "Pause for 1 hour", SnoozeAction.PAUSE
    if status.snooze_until is not None and snoozing:
        snooze_text = f"Share again now (paused until {clock_time(status.snooze_until, now, local)})"
        action = SnoozeAction.RESUME
    return _view(
        status.state,
        status.headline,
        why,
        what_next=status.what_next,
        counts=_counts(status),
        snoozing=snoozing,
        share_checked=status.sharing and not snoozing,
        share_enabled=True,
        snooze_text=snooze_text,
        snooze_action=action,
        snooze_enabled=status.sharing or snoozing,
        run=run,
        foreign=not run.ours,
    )


def clock_time(at: float, now: float, local: Callable[[float], datetime] = datetime.fromtimestamp) -> str:
    """`15:40`, or `Tue 15:40` where it is not today."""
    then = local(at)
    return f"{then:%H:%M}" if then.date() == local(now).date() else f"{then:%a %H:%M}"


def _without_status(connection: Connection, run: AgentRun) -> tuple[AgentState, str, str]:
    if connection.link is Link.REFUSED:
        return AgentState.NEEDS_YOU, "Needs you", connection.problem
    if connection.link is Link.CONNECTED:
        return AgentState.STARTING, "Starting", "waiting for the agent's status"
    if run.ours and connection.failures < PATIENCE_WITH_OURS:
        return AgentState.STARTING, "Starting", "waiting for the agent to answer"
    if run.ours:
        return AgentState.NEEDS_YOU, "Not sharing", "the agent does not answer; quit and start GoGrid again"
    if run.failure:
        return AgentState.NEEDS_YOU, "Needs you", run.failure
    if connection.failures < PATIENCE:
        return AgentState.STARTING, "Starting", "looking for the agent"
    return AgentState.NEEDS_YOU, "Not sharing", connection.problem or "the agent has stopped"


def _view(
    icon: AgentState,
    headline: str,
    why: str,
    *,
    run: AgentRun,
    what_next: str = "",
    counts: str = "",
    snoozing: bool = False,
    share_checked: bool = False,
    share_enabled: bool = False,
    share_starts_agent: bool = False,
    snooze_text: str = "Pause for 1 hour",
    snooze_action: SnoozeAction = SnoozeAction.PAUSE,
    snooze_enabled: bool = False,
    foreign: bool = False,
) -> TrayView:
    why = why.strip().rstrip(".")
    sentence = f"{headline}: {why}." if why else f"{headline}."
    tooltip = f"{sentence}  {counts}".rstrip()
    if len(tooltip) > TOOLTIP_CHARS:
        tooltip = tooltip[: TOOLTIP_CHARS - 1].rstrip() + "…"
    return TrayView(
        icon=icon,
        snoozing=snoozing,
        tooltip=tooltip,
        headline=headline,
        why=why,
        what_next=what_next.strip().rstrip("."),
        counts=counts,
        share_checked=share_checked,
        share_enabled=share_enabled,
        share_starts_agent=share_starts_agent,
        snooze_text=snooze_text,
        snooze_action=snooze_action,
        snooze_enabled=snooze_enabled,
        quit_text="Quit (keep sharing in the background)" if foreign else "Quit",
    )


def _counts(status: AgentStatus) -> str:
    if not status.jobs_running:
        return ""
    jobs = "1 job" if status.jobs_running == 1 else f"{status.jobs_running:,} jobs"
    rate = f"{status.tokens_per_s:.1f}" if status.tokens_per_s < 10 else f"{status.tokens_per_s:,.0f}"
    return f"{jobs}, {rate} tokens/s."
