"""Whether a worker is well, on four levels: it answers, it makes real tokens, its memory is in bounds, and its steps
are not far slower than they were. Health means progress: a process that answers, but makes no step, is not well.

How long a step may take is learned from the worker itself, because a large model on a slow processor takes a hundred
times what a small one takes on a GPU; a worker that was killed for a long step is given twice the time afterwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median

from gogrid_desktop.core.worker_state import WorkerState, is_loaded

PING_S = 0.1
PING_DEAD_S = 15.0
DEEP_S = 1.0
DEEP_DEAD_S = 60.0
#: A probe is due when nothing ran for so long, and again after so long: it wakes a processor or GPU that rested.
DEEP_EVERY_S = 300.0
MEMORY_FACTOR, MEMORY_SLACK_BYTES = 1.25, 256 * 2**20
RUNAWAY_FACTOR = 2.0
LATENCY_FACTOR = 8.0
#: A step may take so many times the longest that was seen, between these bounds; before one was seen, `STEP_FIRST_S`.
STEP_FACTOR, STEP_LEAST_S, STEP_MOST_S, STEP_FIRST_S = 10.0, 15.0, 300.0, 120.0
#: Without a step for this long while jobs run, beyond the rests that the limits ask for (tokenising a prompt of 1 MB
#: takes 3 s).
STALL_S = 60.0
LOAD_S = 1800.0
RECENT, HISTORY, FEWEST = 100, 500, 20


class Check(StrEnum):
    """The levels, in the order in which they are judged."""

    PING = "ping"
    PROGRESS = "progress"
    DEEP = "deep"
    MEMORY = "memory"
    LATENCY = "latency"


class Action(StrEnum):
    NONE = "none"
    PROBE = "probe"  # make one token, to know
    RENEW = "renew"  # a new worker, at the next idle moment
    END = "end"  # at once; suspects no job
    KILL = "kill"  # at once; it hangs, and suspects what ran in it


@dataclass(frozen=True, slots=True)
class Verdict:
    """`check` None: the worker is well. `sentence` says what is wrong, for people."""

    check: Check | None = None
    sentence: str = ""
    action: Action = Action.NONE

    @property
    def well(self) -> bool:
        return self.check is None


@dataclass(frozen=True, slots=True)
class Pace:
    """How long steps took: of each ping's interval the longest, in seconds. Kept over restarts, for one model."""

    recent: tuple[float, ...] = ()
    history: tuple[float, ...] = ()
    patience: float = 1.0

    def stepped(self, longest_s: float) -> Pace:
        """One more interval; 0 where no step ended in it."""
        if longest_s <= 0:
            return self
        return replace(self, recent=(*self.recent, longest_s)[-RECENT:], history=(*self.history, longest_s)[-HISTORY:])

    def killed(self) -> Pace:
        """A step took too long; if it was merely slow, the next one is given more time."""
        return replace(self, patience=min(self.patience * 2, 32.0))

    @property
    def step_limit_s(self) -> float:
        """What runs longer hangs."""
        if not self.recent:
            return STEP_FIRST_S * self.patience
        return min(max(STEP_LEAST_S, STEP_FACTOR * max(self.recent)), STEP_MOST_S) * self.patience

    @property
    def p99_s(self) -> float:
        """Of the recent intervals' longest steps."""
        ordered = sorted(self.recent)
        return ordered[math.ceil(0.99 * len(ordered)) - 1] if ordered else 0.0


@dataclass(frozen=True, slots=True)
class Readings:
    """What is known of a worker. Moments and durations in seconds of one clock that never goes back.

    `since`: when the present state began; `asked_at`: the oldest ping without an answer; `answered_s`: how long the
    last one took; `progress_at`: when a step was last counted, or when there was last nothing to do; `rest_s`: the
    longest rest that the limits ask for; `probed_at`, `probe_s`, `probe_problem`: the last probe, its duration (None
    while it is under way), and why it gave no token; `bound_bytes`: 0 where it is not known yet.
    """

    state: WorkerState
    since: float
    asked_at: float | None = None
    answered_s: float = 0.0
    busy_s: float = 0.0
    running: int = 0
    paused: bool = False
    progress_at: float = 0.0
    rest_s: float = 0.0
    probed_at: float | None = None
    probe_s: float | None = None
    probe_problem: str = ""
    held_bytes: int = 0
    bound_bytes: int = 0
    pace: Pace = Pace()


def judge(readings: Readings, now: float) -> Verdict:
    """The worst of what is wrong, and what to do; otherwise perhaps that a probe is due."""
    verdicts = [check(readings, now) for check in (_ping, _progress, _deep, _memory, _latency)]
    return max(verdicts, key=_weight)


def _weight(verdict: Verdict) -> int:
    """What must be done outweighs what is only worth saying; of equals, the first counts."""
    if verdict.action is Action.NONE:
        return 0 if verdict.well else 1
    return 2 + (Action.PROBE, Action.RENEW, Action.END, Action.KILL).index(verdict.action)


def _ping(r: Readings, now: float) -> Verdict:
    if r.asked_at is not None and now - r.asked_at >= PING_DEAD_S:
        return Verdict(Check.PING, f"It has not answered for {now - r.asked_at:.0f} s.", Action.KILL)
    if r.answered_s > PING_S:
        return Verdict(Check.PING, f"It took {r.answered_s * 1000:.0f} ms to answer; {PING_S * 1000:.0f} are allowed.")
    return Verdict()


def _progress(r: Readings, now: float) -> Verdict:
    if r.state is WorkerState.LOADING and now - r.since > LOAD_S:
        return Verdict(Check.PROGRESS, f"It has been loading for {now - r.since:.0f} s.", Action.KILL)
    limit_s = r.pace.step_limit_s
    if r.busy_s > limit_s:
        return Verdict(Check.PROGRESS, f"A step has run for {r.busy_s:.0f} s; {limit_s:.0f} are allowed.", Action.KILL)
    still_s = now - r.progress_at
    idle = r.paused or not r.running or r.busy_s > 0 or r.state is not WorkerState.PROCESSING
    if not idle and still_s > STALL_S * r.pace.patience + r.rest_s:
        return Verdict(Check.PROGRESS, f"It has made no step for {still_s:.0f} s while jobs run.", Action.KILL)
    return Verdict()


def _deep(r: Readings, now: float) -> Verdict:
    if not is_loaded(r.state) or r.paused:
        return Verdict()
    if r.probed_at is not None:
        if r.probe_s is None and now - r.probed_at > DEEP_DEAD_S:
            return Verdict(Check.DEEP, f"A token has not come for {now - r.probed_at:.0f} s.", Action.KILL)
        if r.probe_problem:
            return Verdict(Check.DEEP, f"It could not make a token: {r.probe_problem}", Action.RENEW)
        if now - r.probed_at < DEEP_EVERY_S:
            slow = r.probe_s is not None and r.probe_s > DEEP_S
            return Verdict(Check.DEEP, f"A token took {r.probe_s:.1f} s.") if slow else Verdict()
    resting = r.state in (WorkerState.IDLE, WorkerState.READY) and not r.running
    due = resting and now - max(r.since, r.probed_at or -math.inf) >= DEEP_EVERY_S
    return Verdict(action=Action.PROBE) if due else Verdict()


def _memory(r: Readings, now: float) -> Verdict:
    if not r.bound_bytes or r.held_bytes <= r.bound_bytes * MEMORY_FACTOR + MEMORY_SLACK_BYTES:
        return Verdict()
    runaway = r.held_bytes > r.bound_bytes * RUNAWAY_FACTOR + 2 * MEMORY_SLACK_BYTES
    sentence = f"It holds {r.held_bytes / 2**30:.1f} GiB; {r.bound_bytes / 2**30:.1f} GiB were planned."
    return Verdict(Check.MEMORY, sentence, Action.END if runaway else Action.RENEW)


def _latency(r: Readings, now: float) -> Verdict:
    if len(r.pace.history) < FEWEST:
        return Verdict()
    usual_s = median(r.pace.history)
    if r.pace.p99_s <= usual_s * LATENCY_FACTOR:
        return Verdict()
    times = r.pace.p99_s / usual_s
    return Verdict(Check.LATENCY, f"Steps take up to {r.pace.p99_s:.2f} s, {times:.0f} times what is usual here.")
