"""One worker's vital signs: what was asked, what it answered and when, as the readings that `core.health` judges."""

from __future__ import annotations

from gogrid_desktop.core.health import Pace, Readings
from gogrid_desktop.core.profiles import Limits
from gogrid_desktop.core.worker_state import WorkerState, is_loaded
from gogrid_desktop.worker import messages as w


class Vitals:
    """Of the process that runs now. Moments are monotonic seconds.

    `pace` and `expected_bytes` (main memory that a worker needs at most, 0 = not known) are the model's and outlive it.
    """

    def __init__(self) -> None:
        self.pace = Pace()
        self.expected_bytes = 0
        self.reset(0.0)

    def reset(self, now: float) -> None:
        """A new process: nothing is known of it."""
        self.since = self._progress_at = now
        self._state = WorkerState.SPAWNING
        self._asked: tuple[int, float] | None = None
        self._answered_s = self._busy_s = 0.0
        self._steps, self._running = -1, 0
        self._probe: tuple[int, float] | None = None
        self._probe_s: float | None = None
        self._probe_problem = ""
        self.rss_bytes = self._first_rss_bytes = 0

    def became(self, state: WorkerState, now: float) -> None:
        """The worker announced a state."""
        self._state, self.since = state, now
        self._progress_at = now

    def pinging(self, seq: int, now: float) -> bool:
        """Whether to send a ping now; one that is under way is waited for."""
        if self._asked is not None:
            return False
        self._asked = (seq, now)
        return True

    def excuse(self, now: float) -> None:
        """We were asleep ourselves: what is under way has all its time again, and the ping is asked anew."""
        self._asked, self._progress_at = None, now
        if self._state is WorkerState.LOADING:
            self.since = now
        if self._probe is not None and self._probe_s is None:
            self._probe = (self._probe[0], now)

    def ponged(self, pong: w.Pong, now: float) -> None:
        if self._asked is not None and self._asked[0] == pong.seq:
            self._answered_s, self._asked = now - self._asked[1], None
        if pong.steps != self._steps or not pong.running:
            self._progress_at = now
        self._steps, self._running, self._busy_s = pong.steps, pong.running, pong.busy_s
        self.rss_bytes = pong.rss_bytes
        if is_loaded(self._state):
            self._first_rss_bytes = self._first_rss_bytes or pong.rss_bytes
        self.pace = self.pace.stepped(pong.longest_s)

    def probing(self, seq: int, now: float) -> None:
        """A probe was sent."""
        self._probe, self._probe_s, self._probe_problem = (seq, now), None, ""

    def probed(self, probed: w.Probed) -> None:
        """Its answer; why it could not be tried beside jobs that came meanwhile is no complaint."""
        if self._probe is not None and self._probe[0] == probed.seq:
            self._probe_s = probed.took_ms / 1000
            self._probe_problem = "" if self._state is WorkerState.PROCESSING else probed.problem

    def readings(self, limits: Limits, *, paused: bool) -> Readings:
        """What is known now, under these limits."""
        stopped = paused or limits.compute_share <= 0 or limits.batch < 1
        rest_s = 0.0 if stopped else self.pace.p99_s * (1 / limits.compute_share - 1) + limits.interval_ms / 1000
        return Readings(
            state=self._state,
            since=self.since,
            asked_at=None if self._asked is None else self._asked[1],
            answered_s=self._answered_s,
            busy_s=self._busy_s,
            running=self._running,
            paused=stopped,
            progress_at=self._progress_at,
            rest_s=rest_s,
            probed_at=None if self._probe is None else self._probe[1],
            probe_s=self._probe_s,
            probe_problem=self._probe_problem,
            held_bytes=self.rss_bytes,
            # What a worker holds when it has just loaded is what it needs, whatever was expected.
            bound_bytes=max(self.expected_bytes, self._first_rss_bytes) if self.expected_bytes else 0,
            pace=self.pace,
        )
