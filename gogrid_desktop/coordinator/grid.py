"""What the parts of one running coordinator share."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from gogrid_desktop.coordinator.bell import Bells
from gogrid_desktop.coordinator.crypto import Vault
from gogrid_desktop.coordinator.presence import Presence
from gogrid_desktop.coordinator.settings import CoordinatorSettings
from gogrid_desktop.coordinator.store.port import Store, Tx
from gogrid_desktop.coordinator.store.records import MetaRecord, NodeRecord


@dataclass(slots=True)
class Grid:
    """`work`: set when a job may be had that could not be had before. `swept_at`: of the last sweep that succeeded."""

    settings: CoordinatorSettings
    store: Store
    vault: Vault
    presence: Presence
    bells: Bells = field(default_factory=Bells)
    work: asyncio.Event = field(default_factory=asyncio.Event)
    jitter: Callable[[], float] = secrets.SystemRandom().random
    swept_at: float = 0.0

    def now(self) -> float:
        return self.settings.clock()


def new_grid(settings: CoordinatorSettings, store: Store, vault: Vault) -> Grid:
    """A grid that remembers nobody yet."""
    return Grid(settings, store, vault, Presence(settings.clock(), settings.node_known_s))


async def remember(grid: Grid) -> None:
    """Read what memory must know. Raises GoGridError if the texts were sealed with another key."""

    def first_look(tx: Tx) -> list[NodeRecord]:
        meta = tx.one(MetaRecord, id="grid")
        if meta is None:
            tx.put(MetaRecord("grid", None, grid.vault.word()))
        else:
            grid.vault.check(meta.key_check)
        return tx.find(NodeRecord)

    grid.presence.load(await grid.store.write(first_look))
