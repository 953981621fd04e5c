"""What the database said a moment ago of whoever calls and what there is, so that not every call has to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from cachetools import TTLCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: So long a token that was revoked, or a list that has changed, may still count as it was.
KEPT_S = 1.0
MOST = 100_000


class Lately(Generic[K, V]):
    """Answers that were there are kept for a moment; that something is not there is asked anew each time."""

    def __init__(self) -> None:
        self._kept: TTLCache[K, V] = TTLCache(MOST, KEPT_S)
        self._asking: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        if (kept := self._kept.get(key)) is not None:
            return kept
        asking = self._asking.get(key)
        if asking is None:  # once for all who want to know it now
            asking = self._asking[key] = asyncio.create_task(self._ask(key, ask))
        return await asyncio.shield(asking)

    async def _ask(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        try:
            found = await ask()
        finally:
            del self._asking[key]
        if found is not None:
            self._kept[key] = found
        return found

    def put(self, key: K, value: V) -> None:
        """It is this from now on."""
        self._kept[key] = value
