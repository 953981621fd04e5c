"""How far the worker is, for whoever asks from another thread while a step runs.

The thread that owns the model marks where steps begin and end; the thread that reads commands answers pings from it at
once. Nothing here waits or locks: each field is written by one thread alone, and a reading that falls between two
writes is one step old at most.
"""

from __future__ import annotations

import math

import psutil

from gogrid_desktop.worker import messages as w


class Progress:
    """Steps so far, and the one that runs. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.running = 0  # jobs in the worker
        self.steps = 0
        self._began_s = math.inf
        self._longest = (0, 0.0)  # the ping that it belongs to, seconds
        self._pings = 0
        self._process = psutil.Process()

    def began(self, now_s: float) -> None:
        """A step begins."""
        self._began_s = now_s

    def ended(self, now_s: float, *, counts: bool = True) -> None:
        """The step has ended; `counts` is false for one that was aborted and changed nothing."""
        took_s, self._began_s = now_s - self._began_s, math.inf
        if not counts:
            return
        self.steps += 1
        pings, longest_s = self._longest
        self._longest = (self._pings, max(took_s, longest_s if pings == self._pings else 0.0))

    def pong(self, seq: int, now_s: float) -> w.Pong:
        """The answer to a ping."""
        pings, longest_s = self._longest
        fresh = pings == self._pings
        self._pings += 1
        return w.Pong(
            seq=seq,
            steps=self.steps,
            running=self.running,
            rss_bytes=self._process.memory_info().rss,
            busy_s=max(0.0, now_s - self._began_s),
            longest_s=longest_s if fresh else 0.0,
        )
