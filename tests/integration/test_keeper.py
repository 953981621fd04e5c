"""The memory governor from a reading to a worker: what is given up at each level, and when it comes back."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import fixtures_fake_worker
import pytest
import pytest_asyncio

from gogrid_desktop.agent.clock import SystemClock
from gogrid_desktop.agent.keeper import Keeper, Wants
from gogrid_desktop.agent.models import ModelFile
from gogrid_desktop.agent.outbox import Outbox
from gogrid_desktop.agent.planning import OnDisk, open_model
from gogrid_desktop.agent.pool import WorkerPool
from gogrid_desktop.agent.stock import Stock
from gogrid_desktop.agent.supervisor import Supervisor
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.core import placement, pressure
from gogrid_desktop.core.activity import Activity, Preferences, Role
from gogrid_desktop.core.policy import Decision, Memory, decide
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.pressure import Level
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.paths import starter_model
from gogrid_desktop.protocol.grid import CatalogueModel
from gogrid_desktop.system import memory
from gogrid_desktop.system.gpu import GpuReading
from gogrid_desktop.worker import messages as w

GIB = 2**30
TOTAL = 8 * GIB
AWAY = Activity(
    idle_s=9999.0, idle_source="test", weekday=2, second_of_day=43_200.0, power=Power(True), screen=Screen(False)
)


class NoGpu:
    name = "test"

    def read(self) -> GpuReading:
        return GpuReading(problem="no GPU in this test")


def decision(*, sharing: bool = True) -> Decision:
    return decide(AWAY, Preferences(role=Role.SERVER, sharing=sharing), Memory(), 0.0)


class World:
    """`foreign` is what other programs have of main memory."""

    def __init__(self, folder: Path, model: OnDisk) -> None:
        self.foreign = 1 * GIB
        self.settings = Settings.model_validate({"role": "server"})
        self.changed = asyncio.Event()
        clock, outbox = SystemClock(), Outbox()
        command = (sys.executable, fixtures_fake_worker.__file__, str(folder / "marks"))

        def supervise(heard: Callable[[w.Event], None], own: Callable[[], Mapping[str, str]]) -> Supervisor:
            return Supervisor(heard, command, own)

        self.pool = WorkerPool(outbox, clock, self.changed.set, supervise)
        self.stock = Stock(self.pool, outbox, clock)
        wants = Wants(lambda: self.settings, lambda: {model.file.sha256: model})
        self.keeper = Keeper(self.pool, self.stock, wants, NoGpu(), clock)

    def look(self, pids: object) -> memory.MemoryReading:
        """As a worker whose model is mapped and not yet touched: it holds nothing of its own."""
        return memory.MemoryReading(TOTAL, TOTAL - self.foreign, 0)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while True:
                await self.keeper.tend(decision(), AWAY)
                if holds():
                    return
                self.changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 0.05)

    def context(self) -> int:
        return next(iter(self.pool.plans.values())).wanted.context


@pytest_asyncio.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    path = starter_model()
    assert path is not None
    sha256 = hashlib.sha256(path.name.encode()).hexdigest()
    file = ModelFile(path, sha256, path.stat().st_size)
    entry = CatalogueModel(sha256=sha256, id="starter", size_bytes=file.size_bytes, context=8192, created=0)
    world = World(tmp_path, open_model(entry, file))
    monkeypatch.setattr(memory, "read", world.look)
    monkeypatch.setattr(pressure, "HOLD_S", 0.0)
    monkeypatch.setattr(placement, "RESIDENCE_S", 0.0)
    await world.pool.limit(decision().limits)
    task = asyncio.create_task(world.pool.run())
    await world.until(lambda: world.pool.ready)
    yield world
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def beside_us(world: World, reserves: float) -> int:
    """Foreign use that leaves so many reserves beside what was granted at first."""
    reserve = TOTAL * 5 // 100
    granted = sum(one.ram_bytes for one in world.pool.held())
    return int(TOTAL - granted - reserve * reserves)


async def test_high_pressure_means_fewer_slots_no_prefixes_and_no_other_models(world: World) -> None:
    rooms: list[tuple[int, bool]] = []
    world.pool.room = lambda slots, *, prefixes: noted(rooms, slots, prefixes)  # type: ignore[method-assign]
    before = world.context()
    world.foreign = beside_us(world, 0.4)
    await world.until(lambda: world.keeper.level is Level.HIGH)
    slots = world.settings.models.slots
    assert (rooms, world.context()) == ([(slots // 2, False)], before)
    world.foreign = GIB
    await world.until(lambda: world.keeper.level <= Level.NORMAL)
    assert rooms[-1] == (slots, True)


async def noted(rooms: list[tuple[int, bool]], slots: int, prefixes: bool) -> None:
    rooms.append((slots, prefixes))


async def test_critical_pressure_shrinks_the_plan_then_unloads_and_all_comes_back_when_it_fits(world: World) -> None:
    whole = next(iter(world.pool.plans.values()))
    world.foreign = beside_us(world, 0.1)
    await world.until(lambda: world.keeper.level is Level.CRITICAL)
    await world.until(lambda: world.pool.ready and next(iter(world.pool.plans.values())) != whole)
    smaller = next(iter(world.pool.plans.values()))
    assert whole.plan.better_than(smaller.plan)
    world.foreign = TOTAL - GIB // 4
    await world.until(lambda: not world.pool.runners)
    assert "does not fit" in world.stock.no_room
    assert world.stock.offered == ()
    world.foreign = GIB
    await world.until(lambda: world.pool.ready)
    await world.until(lambda: next(iter(world.pool.plans.values())).wanted == whole.wanted)
    assert world.stock.no_room == ""


async def test_our_own_use_raises_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    granted = sum(one.ram_bytes for one in world.pool.held())

    def used(pids: object) -> memory.MemoryReading:
        return memory.MemoryReading(TOTAL, TOTAL - world.foreign - granted, 0, own_bytes=granted)

    level = world.keeper.level
    monkeypatch.setattr(memory, "read", used)
    for _ in range(5):
        await world.keeper.tend(decision(), AWAY)
    assert (world.keeper.level, len(world.pool.ready)) == (level, 1)


async def test_a_smaller_share_holds_at_once_also_for_what_is_loaded(world: World) -> None:
    whole = next(iter(world.pool.plans.values()))
    held = sum(one.ram_bytes for one in world.pool.held())
    share = held * 0.8 / TOTAL
    less = replace(decision(), limits=replace(decision().limits, vram_fraction=share))
    await world.keeper.tend(less, AWAY)
    assert next(iter(world.pool.plans.values())) != whole
    assert sum(one.ram_bytes for one in world.pool.held()) <= share * TOTAL


async def test_while_paused_scarce_memory_is_given_back_and_nothing_is_loaded(world: World) -> None:
    paused = decision(sharing=False)
    await world.keeper.tend(paused, AWAY)
    assert world.pool.runners
    world.foreign = TOTAL - GIB // 4
    await world.keeper.tend(paused, AWAY)
    assert not world.pool.runners
