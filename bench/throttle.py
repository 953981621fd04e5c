"""What the request throttle costs, and whether it keeps its word when a hundred tasks come at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from bench.claim import Claim
from gogrid_desktop.agent.clock import SystemClock
from gogrid_desktop.agent.throttle import RequestThrottle
from gogrid_desktop.core.throttle import Throttle

BATCH, BATCHES = 1000, 300
TASKS = 100
INTERVAL_S = 0.01
MOST_US = 1.0


def claims() -> Iterator[Claim]:
    check_us, mark_us = _costs_us()
    yield _cost("throttle, check (reserve a slot), median", check_us)
    yield _cost("throttle, mark (the start), median", mark_us)
    starts, wrong = asyncio.run(_hundred_at_once())
    closest_ms = min(later - earlier for earlier, later in pairwise(starts)) * 1000
    yield Claim(
        bench=f"throttle, closest two starts of {TASKS} concurrent tasks",
        value=round(closest_ms, 3),
        unit="ms",
        bound=f">= {INTERVAL_S * 1000:g} ms",
        holds=closest_ms >= INTERVAL_S * 1000 - 1e-6,  # the subtraction rounds
    )
    yield Claim(f"throttle, wrong counts after {TASKS} concurrent tasks", wrong, "counts", "0", wrong == 0)


def _cost(name: str, cost_us: float) -> Claim:
    return Claim(name, round(cost_us, 3), "us", f"< {MOST_US:g} us", cost_us < MOST_US)


def _costs_us() -> tuple[float, float]:
    """Of one check and one mark; the loops around them are in it."""
    check_us, mark_us = [], []
    for _ in range(BATCHES):
        throttle = Throttle()
        began = time.perf_counter_ns()
        slots = [throttle.reserve(0.0, INTERVAL_S) for _ in range(BATCH)]
        check_us.append((time.perf_counter_ns() - began) / 1000 / BATCH)
        began = time.perf_counter_ns()
        for slot in slots:
            throttle.mark(slot, slot.until)
        mark_us.append((time.perf_counter_ns() - began) / 1000 / BATCH)
    return median(check_us), median(mark_us)


class _WatchedClock(SystemClock):
    """Keeps the time that it told last: of a task that has just been started, its start."""

    told_s = 0.0

    def monotonic(self) -> float:
        self.told_s = super().monotonic()
        return self.told_s


async def _hundred_at_once() -> tuple[list[float], int]:
    """The starts in order, and how many of the counts are wrong."""
    clock = _WatchedClock()
    throttle = RequestThrottle(clock, INTERVAL_S)
    starts: list[float] = []

    async def task() -> None:
        await throttle.start()
        starts.append(clock.told_s)

    await asyncio.gather(*(task() for _ in range(TASKS)))
    stats = throttle.stats()
    counted = (stats.total, stats.throttled, stats.cancelled, stats.waiting, stats.rejected_for_vram, len(starts))
    expected = (TASKS, TASKS - 1, 0, 0, 0, TASKS)
    return sorted(starts), sum(each != right for each, right in zip(counted, expected, strict=True))
