"""How fast this node gives way, measured where it happens: from the event to no step running, and to memory back."""

from __future__ import annotations

from gogrid_desktop.agent.clock import Clock
from gogrid_desktop.agent.pool import WorkerPool
from gogrid_desktop.core.status import YieldStats


class Yields:
    """`stats`: since the agent started."""

    def __init__(self, pool: WorkerPool, clock: Clock) -> None:
        self.stats = YieldStats()
        self._pool, self._clock = pool, clock

    def gave_way(self, noticed: float, decided: float, held: float, *, working: bool) -> None:
        """Limits were lowered. Monotonic seconds: the event reached us, it was decided, no step under old limits ran.

        `working`: jobs ran.
        """
        was = self.stats
        self.stats = YieldStats(
            was.count + working,
            was.decided.with_one((decided - noticed) * 1000.0),
            was.stopped.with_one((held - decided) * 1000.0),
            was.whole.with_one((held - noticed) * 1000.0),
            was.memory,
        )

    async def memory_back(self, decided: float) -> None:
        """Wait until the memory of workers that are leaving is back."""
        await self._pool.emptied()
        took_ms = (self._clock.monotonic() - decided) * 1000.0
        was = self.stats
        self.stats = YieldStats(was.count, was.decided, was.stopped, was.whole, was.memory.with_one(took_ms))
