"""The same grid over each store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fixtures_grid import KEY, FakeClock, World, build

from gogrid_desktop.coordinator.crypto import Vault
from gogrid_desktop.coordinator.settings import CoordinatorSettings
from gogrid_desktop.coordinator.store.memory import MemoryStore
from gogrid_desktop.coordinator.store.port import Store
from gogrid_desktop.coordinator.store.postgres import PostgresStore
from gogrid_desktop.coordinator.store.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    it: Store
    match request.param:
        case "memory":
            it = MemoryStore()
        case "sqlite":
            it = SqliteStore(tmp_path / "data" / "grid.sqlite3")
        case _:
            it = PostgresStore(request.getfixturevalue("new_database")())
    yield it
    await it.close()


@pytest.fixture
async def world(store: Store, tmp_path: Path) -> World:
    clock = FakeClock()
    return await build(store, clock, Vault([KEY]), CoordinatorSettings(data=tmp_path, clock=clock))
