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
from gogrid_desktop.coordinator.store.sql import SqlStore


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    it: Store = MemoryStore() if request.param == "memory" else SqlStore(tmp_path / "data" / "grid.sqlite3")
    yield it
    await it.close()


@pytest.fixture
async def world(store: Store, tmp_path: Path) -> World:
    clock = FakeClock()
    return await build(store, clock, Vault([KEY]), CoordinatorSettings(data=tmp_path, clock=clock))
