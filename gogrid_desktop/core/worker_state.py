"""The life of an inference worker: the states that worker, agent and tray agree on, and which may follow which.

The worker announces every change; what it cannot announce itself (that it is gone) the agent concludes.
"""

from __future__ import annotations

from enum import StrEnum


class WorkerState(StrEnum):
    SPAWNING = "spawning"  # the process is there, no model is
    LOADING = "loading"
    READY = "ready"  # loaded, nothing was run yet
    PROCESSING = "processing"  # at least one job is in it
    IDLE = "idle"  # loaded, the last job has left
    EVICTING = "evicting"  # giving the memory back
    DEAD = "dead"
    FAILED = "failed"  # the model could not be loaded; the process can try another


_LOADED = frozenset({WorkerState.READY, WorkerState.PROCESSING, WorkerState.IDLE})

_FOLLOWS: dict[WorkerState, frozenset[WorkerState]] = {
    WorkerState.SPAWNING: frozenset({WorkerState.LOADING}),
    WorkerState.LOADING: frozenset({WorkerState.READY, WorkerState.FAILED}),
    WorkerState.READY: frozenset({WorkerState.PROCESSING, WorkerState.EVICTING}),
    WorkerState.PROCESSING: frozenset({WorkerState.IDLE, WorkerState.EVICTING}),
    WorkerState.IDLE: frozenset({WorkerState.PROCESSING, WorkerState.EVICTING}),
    WorkerState.EVICTING: frozenset({WorkerState.SPAWNING}),
    WorkerState.FAILED: frozenset({WorkerState.LOADING}),
    WorkerState.DEAD: frozenset({WorkerState.SPAWNING}),
}


def may_follow(state: WorkerState, after: WorkerState) -> bool:
    """Whether `after` may follow `state`. Every living state may die; staying as it is counts as no change."""
    if after is WorkerState.DEAD:
        return state is not WorkerState.DEAD
    return after in _FOLLOWS[state]


def is_loaded(state: WorkerState) -> bool:
    """Whether the worker holds a model that can run jobs."""
    return state in _LOADED
