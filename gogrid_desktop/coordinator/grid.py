"""What the parts of one running coordinator share."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from gogrid_desktop.coordinator.bell import Bells
from gogrid_desktop.coordinator.books import NOTHING, Kept
from gogrid_desktop.coordinator.crypto import Vault
from gogrid_desktop.coordinator.fairness import Fairness
from gogrid_desktop.coordinator.news import News
from gogrid_desktop.coordinator.presence import Presence
from gogrid_desktop.coordinator.settings import CoordinatorSettings
from gogrid_desktop.coordinator.store.port import Store, Tx
from gogrid_desktop.coordinator.store.records import MetaRecord, NodeRecord
from gogrid_desktop.coordinator.store.unsaid import Unsaid


@dataclass(slots=True)
class Grid:
    """`work`: set when a job may be had that could not be had before. `swept_at`: of the last sweep that succeeded.

    `news`: what other replicas have not been told yet.
    """

    settings: CoordinatorSettings
    store: Store
    vault: Vault
    unsaid: Unsaid
    presence: Presence
    fairness: Fairness
    bells: Bells = field(default_factory=Bells)
    work: asyncio.Event = field(default_factory=asyncio.Event)
    jitter: Callable[[], float] = secrets.SystemRandom().random
    swept_at: float = 0.0
    news: News = field(default_factory=News)

    def now(self) -> float:
        """Seconds since the epoch, by the database's clock."""
        return (self.settings.clock or self.store.clock)()

    def committed(self, kept: Kept = NOTHING, *, work: bool = False) -> None:
        """This was committed here; `work`: so that a job may be had now. Wakes everybody whom it concerns."""
        self.bells.ring(kept.changed, kept.ended)
        if work:
            self.work.set()
        self.news.add(kept, work=work)


def new_grid(settings: CoordinatorSettings, store: Store, vault: Vault) -> Grid:
    """A grid that remembers nobody yet."""
    now, unsaid = (settings.clock or store.clock)(), Unsaid()
    presence = Presence(now, settings.node_known_s, unsaid)
    return Grid(settings, store, vault, unsaid, presence, Fairness(unsaid))


async def remember(grid: Grid) -> None:
    """Read what memory must know. Raises GoGridError if the texts were sealed with another key."""

    def first_look(tx: Tx) -> list[NodeRecord]:
        meta = tx.one(MetaRecord, id="grid")
        if meta is None:
            tx.put(MetaRecord("grid", None, grid.vault.word()))
        else:
            grid.vault.check(meta.key_check)
        return tx.find(NodeRecord)

    grid.presence.learn(await grid.store.write(first_look))
