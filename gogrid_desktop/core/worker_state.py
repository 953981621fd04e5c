"""The life of an inference worker: the states that worker, agent and tray agree on, and which may follow which.

The worker announces every change; what it cannot announce itself (that it is gone) the agent concludes. Both sides keep
a `LifeCycle`, whose state changes only through `become`, so that neither can be in a state the other does not expect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


class Moment(StrEnum):
    """What an observer can ask to be told of. Every legal transition is exactly one of them."""

    SPAWN = "spawn"  # there is a process without a model
    LOAD = "load"
    READY = "ready"
    WORK = "work"  # the first job came in
    COMPLETE = "complete"  # the last job has left
    EVICT = "evict"
    DEAD = "dead"
    FAILED = "failed"


_MOMENTS = {
    WorkerState.SPAWNING: Moment.SPAWN,
    WorkerState.LOADING: Moment.LOAD,
    WorkerState.READY: Moment.READY,
    WorkerState.PROCESSING: Moment.WORK,
    WorkerState.IDLE: Moment.COMPLETE,
    WorkerState.EVICTING: Moment.EVICT,
    WorkerState.DEAD: Moment.DEAD,
    WorkerState.FAILED: Moment.FAILED,
}


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of state; `detail` says why, where there is something to say."""

    before: WorkerState
    after: WorkerState
    detail: str = ""

    @property
    def moment(self) -> Moment:
        return _MOMENTS[self.after]


Observer = Callable[[Transition], None]


class IllegalTransition(ValueError):
    """A state that cannot follow the present one; the state has not changed."""

    def __init__(self, before: WorkerState, after: WorkerState) -> None:
        super().__init__(f"{after} cannot follow {before}")
        self.before, self.after = before, after


class LifeCycle:
    """The state of one worker. Each moment has one observer at most, called after the change."""

    __slots__ = ("_observers", "_state")

    def __init__(
        self, state: WorkerState = WorkerState.SPAWNING, observers: Mapping[Moment, Observer] | None = None
    ) -> None:
        self._state = state
        self._observers = dict(observers or {})

    @property
    def state(self) -> WorkerState:
        return self._state

    def become(self, state: WorkerState, detail: str = "") -> bool:
        """Change the state and tell the observer; False where it is the state already. Raises IllegalTransition."""
        if state is self._state:
            return False
        if not may_follow(self._state, after=state):
            raise IllegalTransition(self._state, state)
        transition, self._state = Transition(self._state, state, detail), state
        observer = self._observers.get(transition.moment)
        if observer is not None:
            observer(transition)
        return True
