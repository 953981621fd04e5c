"""The least time between two starts of requests on this computer, over all its workers.

The three phases of `core.throttle` with a lock and a clock: the lock is held while a slot is reserved or marked, never
while somebody waits. The worker holds the same interval once more for itself, whatever the agent does.
"""

from __future__ import annotations

import asyncio
import threading

from gogrid_desktop.agent.clock import Clock, happens
from gogrid_desktop.core.status import ThrottleStats
from gogrid_desktop.core.throttle import Slot, Throttle


class _Waiter:
    def __init__(self, slot: Slot) -> None:
        self.slot = slot


class RequestThrottle:
    """`await start()`, or `async with` it: returns when the request may start. Who is cancelled gives its slot back."""

    def __init__(self, clock: Clock, interval_s: float = 0.0) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._throttle = Throttle()
        self._lock = threading.Lock()
        self._waiters: dict[_Waiter, None] = {}  # in order of arrival
        self._respaced = asyncio.Event()
        self._total = self._throttled = self._cancelled = self._refused_for_vram = 0

    @property
    def interval_s(self) -> float:
        return self._interval_s

    @interval_s.setter
    def interval_s(self, interval_s: float) -> None:
        """A new interval counts at once, also for those that wait; they keep their order."""
        if interval_s == self._interval_s:
            return
        with self._lock:
            self._interval_s = interval_s
            self._throttle.clear()
            now = self._clock.monotonic()
            for waiter in self._waiters:
                waiter.slot = self._throttle.reserve(now, interval_s)
        self._respaced.set()
        self._respaced = asyncio.Event()

    async def start(self) -> None:
        """Wait for this request's turn, and take it."""
        with self._lock:
            now = self._clock.monotonic()
            slot = self._throttle.reserve(now, self._interval_s)
            self._total += 1
            if self._throttle.due(slot) <= now:
                self._throttle.mark(slot, now)
                return
            self._throttled += 1
            waiter = _Waiter(slot)
            self._waiters[waiter] = None
        try:
            while (wait_s := self._mark(waiter)) > 0:
                await happens(self._respaced, self._clock, wait_s)
        except BaseException:
            with self._lock:
                self._throttle.cancel(waiter.slot)
                del self._waiters[waiter]
                self._cancelled += 1
            raise

    async def __aenter__(self) -> None:
        await self.start()

    async def __aexit__(self, *_: object) -> None:
        return

    def refused_for_vram(self) -> None:
        """Count a request that was refused because its model does not fit the memory budget."""
        self._refused_for_vram += 1

    def stats(self) -> ThrottleStats:
        with self._lock:
            rate = self._throttled / self._total if self._total else 0.0
            return ThrottleStats(
                total=self._total,
                throttled=self._throttled,
                rate=rate,
                cancelled=self._cancelled,
                waiting=self._throttle.waiting,
                rejected_for_vram=self._refused_for_vram,
                interval_ms=round(self._interval_s * 1000),
            )

    def _mark(self, waiter: _Waiter) -> float:
        """Start it if it is due; otherwise the seconds until it is."""
        with self._lock:
            now = self._clock.monotonic()
            due = self._throttle.due(waiter.slot)
            if now < due:
                return due - now
            self._throttle.mark(waiter.slot, now)
            del self._waiters[waiter]
            return 0.0
