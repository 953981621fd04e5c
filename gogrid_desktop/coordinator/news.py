"""What replicas tell each other: which requests have changed, and that there is work. Ids alone, nothing to rely on.

One message for all that was committed in a tick: a message for each would make them wait for each other. Whoever may
have missed some wakes everybody it has; looking once too often costs a look.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import aclosing
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from gogrid_desktop.coordinator.books import Kept
from gogrid_desktop.errors import StorageError

if TYPE_CHECKING:
    from gogrid_desktop.coordinator.grid import Grid

log = logging.getLogger(__name__)

TICK_S = 0.01
#: A notification holds 8,000 bytes; an id some 40.
MAX_REQUESTS = 150


class Words(BaseModel):
    """One message: requests of which a job has ended, and those that changed otherwise. None: too many to say."""

    replica: str
    work: bool = False
    changed: list[str] | None = []
    ended: list[str] = []


class News:
    """Gathers what was committed here until it is told."""

    def __init__(self) -> None:
        self.replica = secrets.token_hex(6)
        self._changed: set[str] = set()
        self._ended: set[str] = set()
        self._work = False
        self._some = asyncio.Event()

    def add(self, kept: Kept, *, work: bool) -> None:
        if kept.changed or work:
            self._changed |= kept.changed
            self._ended |= kept.ended
            self._work |= work
            self._some.set()

    async def next(self) -> str:
        """The next message, as soon as there is something to tell and the last one is a tick ago."""
        await self._some.wait()
        await asyncio.sleep(TICK_S)
        words = Words(replica=self.replica, work=self._work, changed=None)
        if len(self._changed) <= MAX_REQUESTS:
            words.changed, words.ended = sorted(self._changed - self._ended), sorted(self._ended)
        self._changed, self._ended, self._work = set(), set(), False
        self._some.clear()
        return words.model_dump_json()


async def run_telling(grid: Grid) -> None:
    """Tell all other replicas, until cancelled. What cannot be told they find by themselves, later."""
    while True:
        words = await grid.news.next()
        try:
            await grid.store.tell(words)
        except StorageError as error:
            log.warning("other replicas were not told: %s", error)


async def run_hearing(grid: Grid) -> None:
    """Wake whoever waits here for what others tell, until cancelled."""
    async with aclosing(grid.store.told()) as told:
        async for said in told:
            words = _understood(said)
            if words.replica == grid.news.replica:
                continue
            if words.changed is None:
                grid.bells.ring_all()
            else:
                grid.bells.ring([*words.changed, *words.ended], words.ended)
            if words.work:
                grid.work.set()


def _understood(said: str) -> Words:
    """What was told; of what was lost, or is of another version, that it may be anything."""
    try:
        return Words.model_validate_json(said)
    except ValidationError:
        return Words(replica="", work=True, changed=None)
