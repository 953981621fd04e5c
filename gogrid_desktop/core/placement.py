"""Which models are loaded, when memory does not hold all of them: by demand, without thrash.

A job that waits for a model loads it where that fits beside what is there; otherwise the idle model that was used
longest ago makes room. A model with jobs in it, or one that came only just now, never does: then the job waits, for a
while, and is handed back blamelessly if nothing changes. What fits is asked of a planner and not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from gogrid_desktop.core.profiles import Limits

#: A model stays at least so long, so that two that do not fit together cannot chase each other.
RESIDENCE_S = 30.0
#: A job waits so long for room before it goes back to the grid.
WAIT_S = 60.0

#: Whether a model fits beside those that stay.
Fits = Callable[[str, frozenset[str]], bool]


@dataclass(frozen=True, slots=True)
class Resident:
    """A model that is loaded or being loaded. `jobs` held for it; times in seconds of one clock."""

    model: str
    jobs: int
    since: float
    used_at: float

    def young(self, now: float) -> bool:
        return now - self.since < RESIDENCE_S


@dataclass(frozen=True, slots=True)
class Waiting:
    """A model that is not loaded and has jobs, the oldest of them since `since`."""

    model: str
    since: float


class Outcome(Enum):
    LOAD = "load"  # now, where nothing has to make room; otherwise once that has
    WAIT = "wait"
    REFUSE = "refuse"  # hand its jobs back


@dataclass(frozen=True, slots=True)
class Move:
    """What to do for a model that is waited for. `evict`: what makes room for it."""

    model: str
    outcome: Outcome
    evict: tuple[str, ...] = ()


def pinned(residents: Sequence[Resident], now: float) -> frozenset[str]:
    """Models that make room for no other."""
    return frozenset(one.model for one in residents if one.jobs or one.young(now))


def idle_ones(residents: Sequence[Resident], now: float, after_s: float) -> tuple[str, ...]:
    """Models that have had no job for so long."""
    return tuple(one.model for one in residents if not one.jobs and now - max(one.used_at, one.since) >= after_s)


def place(residents: Sequence[Resident], waiting: Sequence[Waiting], now: float, fits: Fits) -> tuple[Move, ...]:
    """A move for each model that is waited for, the longest wait first."""
    there = list(residents)
    moves = []
    for want in sorted(waiting, key=lambda one: (one.since, one.model)):
        move = _move(want, there, now, fits)
        moves.append(move)
        if move.outcome is Outcome.LOAD:
            there = [one for one in there if one.model not in move.evict]
            there.append(Resident(want.model, 1, now, now))
    return tuple(moves)


def _move(want: Waiting, there: Sequence[Resident], now: float, fits: Fits) -> Move:
    kept = frozenset(one.model for one in there)
    held = pinned(there, now)
    leaving: list[str] = []
    for candidate in ("", *(one.model for one in sorted(there, key=lambda one: one.used_at) if one.model not in held)):
        if candidate:
            leaving.append(candidate)
        if fits(want.model, kept - set(leaving)):
            return Move(want.model, Outcome.LOAD, tuple(leaving))
    soon = now - want.since < WAIT_S and fits(want.model, frozenset())
    return Move(want.model, Outcome.WAIT if soon else Outcome.REFUSE)


def share_out(limits: Limits, jobs: Sequence[str]) -> dict[str, Limits]:
    """The node's limits for each model, given the model of every held job, oldest first.

    Compute share is divided evenly over the models with jobs, the batch goes to the oldest jobs, and the interval
    between starts is kept for the node as a whole by whoever starts them.
    """
    counts = Counter(jobs[: limits.batch])
    if len(counts) < 2:
        return dict.fromkeys(counts, limits)
    share = limits.compute_share / len(counts)
    return {model: replace(limits, compute_share=share, batch=count) for model, count in counts.items()}
