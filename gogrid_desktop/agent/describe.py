"""The agent's state in words: which of the seven icon states holds, and the one sentence that says why."""

from __future__ import annotations

from gogrid_desktop.core.policy import Decision
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.status import AgentState


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
