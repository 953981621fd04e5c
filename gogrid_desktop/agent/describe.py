"""The agent's state in words: which of the seven icon states holds, and the one sentence that says why."""

from __future__ import annotations

import os
from dataclasses import replace

from gogrid_desktop import __version__
from gogrid_desktop.agent.governor import Governor
from gogrid_desktop.agent.intent import Said
from gogrid_desktop.agent.lending import nobody
from gogrid_desktop.agent.pool import WorkerPool
from gogrid_desktop.agent.session import Session
from gogrid_desktop.agent.stock import Stock
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.core.policy import Decision
from gogrid_desktop.core.pressure import Level
from gogrid_desktop.core.profiles import NOTHING, Profile
from gogrid_desktop.core.status import AgentState, AgentStatus, Totals


def state_of(decision: Decision | None, *, problem: str, connected: bool, jobs_running: int) -> AgentState:
    """What matters most to the person comes first: their own pause, then what only they can mend, then the grid."""
    if decision is None:
        return AgentState.STARTING
    if decision.profile is Profile.PAUSED:
        return AgentState.PAUSED
    if problem:
        return AgentState.NEEDS_YOU
    if not connected:
        return AgentState.OFFLINE
    if jobs_running == 0:
        return AgentState.IDLE
    return AgentState.GENTLE if decision.profile is Profile.CONSERVATIVE else AgentState.SHARING


def sentence(state: AgentState, decision: Decision | None, *, problem: str, retry_in_s: float) -> tuple[str, str]:
    """(headline, reason) for a state."""
    match state:
        case AgentState.STARTING:
            return "Starting", ""
        case AgentState.NEEDS_YOU:
            return "Needs you", problem
        case AgentState.OFFLINE:
            again = f" Trying again in {retry_in_s:.0f} s." if retry_in_s >= 1 else ""
            return "The grid does not answer", f"{again} Finished work is kept.".strip()
        case AgentState.IDLE if decision is not None:
            return "Nothing to do", f"ready to share; {decision.reason}"
        case _ if decision is not None:
            return decision.headline, decision.reason
        case _:
            return "Starting", ""


def status(
    *,
    governor: Governor,
    pool: WorkerPool,
    stock: Stock,
    memory: Level,
    session: Session | None,
    settings: Settings,
    problem: str,
    notice: str,
    jobs_running: int,
    totals: Totals,
    said: Said,
    signals: tuple[str, ...],
    suggestion: str,
    now: float,
) -> AgentStatus:
    """The agent's parts as one value. `problem` and `notice` are the agent's own; those of the parts are added."""
    decision, activity = governor.decision, governor.activity
    leasing = session.leasing if session else None
    if session is not None and leasing is not None:
        problem = problem or pool.problem or session.problem or leasing.auth_problem
        no_room = f"No model is loaded: {stock.no_room}." if stock.no_room else ""
        for_nobody = nobody(settings.work, leasing.none_because)
        notice = "  ".join(part for part in (notice, session.notice, leasing.message, no_room, for_nobody) if part)
    connected = leasing is not None and leasing.connected
    state = state_of(decision, problem=problem, connected=connected, jobs_running=jobs_running)
    retry_in_s = leasing.retry_at - now if leasing else 0.0
    workers, counts = pool.views(), pool.counts
    headline, reason = sentence(state, decision, problem=problem, retry_in_s=retry_in_s)
    return AgentStatus(
        version=__version__,
        pid=os.getpid(),
        state=state,
        profile=decision.profile if decision else Profile.PAUSED,
        headline=headline,
        reason=reason,
        what_next=decision.what_next if decision and state is not AgentState.NEEDS_YOU else "",
        reasons=decision.reasons if decision else (),
        limits=decision.limits if decision else NOTHING,
        sharing=settings.sharing.enabled,
        snooze_until=said.snooze_until,
        until_away=said.until_away,
        anyway_until=said.anyway_until,
        draining=said.drain,
        problem=problem,
        notice=notice,
        connected=connected,
        coordinator=settings.grid.coordinator,
        node_name=settings.grid.node_name,
        idle_source=activity.idle_source if activity else "none",
        idle_s=activity.idle_s if activity else None,
        worker=workers[0].state if workers else "none",
        worker_pid=workers[0].pid if workers else None,
        model=workers[0].model if workers else "",
        slots=min(decision.limits.batch, settings.models.slots) if decision else 0,
        jobs_running=jobs_running,
        tokens_per_s=pool.tokens_per_s,
        totals=replace(
            totals,
            tokens=counts["tokens"],
            yields=governor.yields.stats.count,
            resumed=counts["resumed"],
            worker_restarts=counts["deaths"],
        ),
        workers=workers,
        memory=memory.word,
        throttle=pool.throttle.stats(),
        yielding=governor.yields.stats,
        signals=signals,
        suggestion=suggestion,
    )
