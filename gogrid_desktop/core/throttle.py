"""The least time between two starts, without a race: reserve the next slot, sleep until it, then mark the start.

Whoever only computes a wait lets a hundred tasks start together after it. Here a slot belongs to one task from the
moment it is reserved (`slot = max(now, next_free)`), so the sleep needs no lock; a task that is cancelled while it
waits gives its slot back. The value is frozen: a caller with threads swaps it under a lock of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slot:
    """A start reserved `at` seconds; nobody else's lies before `until`."""

    at: float
    until: float


@dataclass(frozen=True, slots=True)
class Throttle:
    """All slots so far, on one clock that never goes back.

    `returned` are slots given back between two that are taken. `reserved` = started + cancelled + those that wait.
    """

    next_free: float = -math.inf
    returned: tuple[Slot, ...] = ()
    reserved: int = 0
    started: int = 0
    cancelled: int = 0

    def reserve(self, now: float, interval_s: float) -> tuple[Throttle, Slot]:
        """The earliest slot that is free, `interval_s` before the next one; sleep until its `at`, then `mark` it."""
        returned = tuple(slot for slot in self.returned if slot.at >= now)
        if returned:
            slot, returned, next_free = returned[0], returned[1:], self.next_free
        else:
            at = max(now, self.next_free)
            slot, next_free = Slot(at, at + interval_s), at + interval_s
        return Throttle(next_free, returned, self.reserved + 1, self.started, self.cancelled), slot

    def mark(self, slot: Slot) -> Throttle:
        """The task of this slot has started."""
        return Throttle(self.next_free, self.returned, self.reserved, self.started + 1, self.cancelled)

    def cancel(self, slot: Slot) -> Throttle:
        """The task of this slot will not start: the slot is there for the next one."""
        returned = sorted((*self.returned, slot), key=lambda each: each.at)
        next_free = self.next_free
        # What lies at the end is free time again, also for a start between two slots.
        while returned and returned[-1].until == next_free:
            next_free = returned.pop().at
        return Throttle(next_free, tuple(returned), self.reserved, self.started, self.cancelled + 1)
