"""Time as a port, so that tests of the shell advance it by hand."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def happens(event: asyncio.Event, clock: Clock, within_s: float | None) -> bool:
    """Wait for an event; False when `within_s` seconds of this clock passed first (None: wait for ever)."""
    if within_s is None or event.is_set():
        return await event.wait()
    waits = {asyncio.create_task(event.wait()), asyncio.create_task(clock.sleep(within_s))}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return event.is_set()
    finally:
        for wait in waits:
            wait.cancel()
