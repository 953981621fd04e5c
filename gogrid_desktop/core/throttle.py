"""The least time between two starts, without a race: reserve the next slot, sleep until it, then mark the start.

Whoever only computes a wait lets a hundred tasks start together after it. Here a slot belongs to one task from the
moment it is reserved (`slot = max(now, next_free)`), so the sleep needs no lock; a task that is cancelled while it
waits gives its slot back. A sleep may end late: the start after it is then due one interval after the real start.

It knows neither a lock nor a clock. It is changed in place because a check must cost less than a microsecond, which the
making of a new value does not.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Slot(NamedTuple):
    """A start reserved `at` seconds; nobody else's lies before `until`, `interval_s` later."""

    at: float
    until: float
    interval_s: float


class Throttle:
    """All slots, on one clock that never goes back. `reserved` = `started` + `cancelled` + those that wait."""

    __slots__ = ("_next_free", "_returned", "cancelled", "last_start", "reserved", "started")

    def __init__(self) -> None:
        self.reserved = self.started = self.cancelled = 0
        self.last_start = -math.inf
        self._next_free = -math.inf
        self._returned: list[Slot] = []  # slots given back between two that are taken, the earliest first

    @property
    def waiting(self) -> int:
        return self.reserved - self.started - self.cancelled

    def reserve(self, now: float, interval_s: float) -> Slot:
        """The earliest slot that is free; sleep until it is `due`, then `mark` it."""
        self.reserved += 1
        if self._returned:
            slot = self._take_returned(now, interval_s)
            if slot is not None:
                return slot
        at = self._next_free
        after_last = self.last_start + interval_s
        if at < after_last:
            at = after_last
        if at < now:
            at = now
        self._next_free = until = at + interval_s
        return Slot(at, until, interval_s)

    def due(self, slot: Slot) -> float:
        """When its task may really start: at its time, but an interval after the last real start."""
        at, _, interval_s = slot
        after_last = self.last_start + interval_s
        return at if at > after_last else after_last

    def mark(self, slot: Slot, now: float) -> None:
        """The task of this slot starts now. Raises ValueError before it is due."""
        if now < slot[0] or now < self.last_start + slot[2]:
            raise ValueError(f"a start at {now} is due at {self.due(slot)}")
        self.started += 1
        self.last_start = now

    def cancel(self, slot: Slot) -> None:
        """The task of this slot will not start: the slot is there for the next one."""
        self.cancelled += 1
        self._returned = sorted((*self._returned, slot))
        # What lies at the end is free time again, also for a start between two slots.
        while self._returned and self._returned[-1].until == self._next_free:
            self._next_free = self._returned.pop().at

    def clear(self) -> None:
        """Forget the slots that wait, as if they had not been reserved: for a new interval they are reserved anew."""
        self.reserved -= self.waiting
        self._next_free = -math.inf
        self._returned = []

    def _take_returned(self, now: float, interval_s: float) -> Slot | None:
        self._returned = [slot for slot in self._returned if slot.at >= now]
        for index, slot in enumerate(self._returned):
            if slot.interval_s >= interval_s:
                return self._returned.pop(index)
        return None
