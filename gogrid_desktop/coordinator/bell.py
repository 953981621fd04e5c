"""Waking whoever reads a request when something of it was committed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable

from gogrid_desktop.coordinator.ports import Closing

RECENT_S = 5.0


class Bells:
    """Watches by request. `close` ends all of them at once: the coordinator stops.

    Who watches a request soon after he has looked at it misses nothing: what was rung while nobody watched is
    remembered for `RECENT_S` at least.
    """

    def __init__(self) -> None:
        self._watches: dict[str, set[BellWatch]] = {}
        self._closed = False
        self._recent, self._older = set[str](), set[str]()
        self._turned_s = time.monotonic()

    def watch(self, request: str, *, ends: bool = False) -> BellWatch:
        watch = BellWatch(self, request, ends)
        self._watches.setdefault(request, set()).add(watch)
        if request in self._recent or request in self._older:
            watch.wake()
        if self._closed:
            watch.end()
        return watch

    def ring(self, requests: Iterable[str], ended: Collection[str]) -> None:
        """These requests have changed; of those that are in `ended` a job has ended."""
        if time.monotonic() - self._turned_s > RECENT_S:
            self._recent, self._older, self._turned_s = set(), self._recent, time.monotonic()
        for request in requests:
            watches = self._watches.get(request, ())
            if not watches:
                self._recent.add(request)
            for watch in watches:
                if request in ended or not watch.ends:
                    watch.wake()

    def ring_all(self) -> None:
        self.ring(self._watches, self._watches)

    def close(self) -> None:
        self._closed = True
        for watches in list(self._watches.values()):
            for watch in watches:
                watch.end()

    def drop(self, watch: BellWatch) -> None:
        watches = self._watches.get(watch.request, set())
        watches.discard(watch)
        if not watches:
            self._watches.pop(watch.request, None)


class BellWatch:
    def __init__(self, bells: Bells, request: str, ends: bool) -> None:
        self.request, self.ends = request, ends
        self._bells = bells
        self._rung = asyncio.Event()
        self._ended = False

    def wake(self) -> None:
        self._rung.set()

    def end(self) -> None:
        self._ended = True
        self._rung.set()

    async def changed(self, timeout_s: float) -> bool:
        """See `ports.Watch`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        except TimeoutError:
            return False
        if self._ended:
            raise Closing
        self._rung.clear()
        return True

    def close(self) -> None:
        self._bells.drop(self)
