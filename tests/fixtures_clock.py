"""A clock that tests advance by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class FakeClock:
    """`now` and `monotonic` are the same; a sleeper wakes when `advance` passes its time."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        self._time = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._time

    def monotonic(self) -> float:
        return self._time

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._time + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let the time pass, waking sleepers in order; everything that can run has run afterwards."""
        end = self._time + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._time, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
            await settle()
        self._time = end
        await settle()


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(30):
        await asyncio.sleep(0)
