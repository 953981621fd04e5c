"""Several models on one node: loaded by demand, making room for each other, sharing its limits (real processes)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import fixtures_fake_worker
import pytest

from gogrid_desktop.agent.budget import Budget
from gogrid_desktop.agent.clock import SystemClock
from gogrid_desktop.agent.outbox import HeldJob, Outbox
from gogrid_desktop.agent.planning import Held, NoRoom, Planned
from gogrid_desktop.agent.pool import WorkerPool
from gogrid_desktop.agent.stock import Stock
from gogrid_desktop.agent.supervisor import Supervisor
from gogrid_desktop.agent.wanted import WantedModel
from gogrid_desktop.core import placement
from gogrid_desktop.core.memory_need import KvType
from gogrid_desktop.core.pressure import Answer
from gogrid_desktop.core.profiles import Limits
from gogrid_desktop.core.vram import Plan, Share
from gogrid_desktop.protocol import grid as g
from gogrid_desktop.worker import messages as w

A, B, C = "a" * 64, "b" * 64, "c" * 64
PLENTY = Answer(slots=8, prefixes=True, more=True, shrink=False)
SCARCE = replace(PLENTY, prefixes=False, more=False)
WHOLE = Limits(0.8, 1.0, 4, 0, 0, None, 0)


@dataclass
class Shelf:
    """A budget of so many bytes of main memory; a model takes its size, or half of it with a shorter context."""

    total: int
    sizes: dict[str, int]
    settings_context: int = 1024

    @property
    def names(self) -> Mapping[str, str]:
        return {model: model[:1] for model in self.sizes}

    def context(self, model: str) -> int:
        return self.settings_context

    def plan(self, model: str, held: Sequence[Held]) -> Planned | NoRoom:
        free = self.total - sum(one.ram_bytes for one in held)
        for context, size in ((1024, self.sizes[model]), (512, self.sizes[model] // 2)):
            if size <= free:
                plan = Plan(
                    gpu_layers=0,
                    kv_type=KvType.F16,
                    context=context,
                    slots=4,
                    own_cells=False,
                    cells=context,
                    shares=(),
                    host=Share(-1, 1, size, 0, 0, 0),
                    why="it fits",
                )
                return Planned(WantedModel(f"/{model}", model, context, context, 4), plan, "it fits")
        return NoRoom(f"no model fits {free}", 1)

    def fits(self, held: Sequence[Held]) -> tuple[str, ...]:
        return tuple(model for model in self.sizes if isinstance(self.plan(model, held), Planned))

    def first(self) -> Planned | NoRoom:
        return self.plan(max(self.fits(()), key=lambda one: self.sizes[one], default=next(iter(self.sizes))), ())

    def allows(self, held: Sequence[Held]) -> bool:
        return sum(one.ram_bytes for one in held) <= self.total

    def measured(self, planned: Planned, loaded_bytes: int, pid: int) -> Held:
        return planned.held((pid,))


@dataclass
class World:
    folder: Path
    shelf: Shelf
    outbox: Outbox = field(default_factory=Outbox)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    answer: Answer = PLENTY
    unload_after_s: float = 600.0

    def __post_init__(self) -> None:
        clock = SystemClock()
        self.pool = WorkerPool(self.outbox, clock, self.changed.set, self.supervise)
        self.stock = Stock(self.pool, self.outbox, clock)

    def supervise(self, heard: Callable[[w.Event], None], own: Callable[[], Mapping[str, str]]) -> Supervisor:
        return Supervisor(heard, (sys.executable, fixtures_fake_worker.__file__, str(self.folder / "marks")), own)

    def add(self, name: str, model: str) -> HeldJob:
        params = g.SamplingParams(max_tokens=500)
        job = g.Job(id=f"job-{name}", kind=g.JobKind.CHAT, model=model, rendered_at=0.0, params=params, deadline=4e9)
        held = self.outbox.add(g.Lease(id=name, fence=1, job=job))
        self.pool.start(held)
        return held

    def tend(self) -> None:
        self.stock.tend(cast(Budget, self.shelf), self.answer, unload_after_s=self.unload_after_s)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while True:
                self.tend()
                if holds():
                    return
                self.changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 0.1)

    async def ready(self, *models: str) -> None:
        await self.until(lambda: set(self.pool.ready) == set(models))


@asynccontextmanager
async def node(folder: Path, total: int, **sizes: int) -> AsyncIterator[World]:
    names = {"a": A, "b": B, "c": C}
    world = World(folder, Shelf(total, {names[name]: size for name, size in sizes.items()}))
    await world.pool.limit(WHOLE)
    task = asyncio.create_task(world.pool.run())
    try:
        yield world
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that came just now may make room at once."""
    monkeypatch.setattr(placement, "RESIDENCE_S", 0.0)


def progress(*jobs: HeldJob) -> Callable[[], bool]:
    there = [job.made.tokens for job in jobs]
    return lambda: all(job.made.tokens > before for job, before in zip(jobs, there, strict=True))


async def test_the_first_model_is_loaded_before_anybody_asks_and_another_beside_it_by_demand(tmp_path: Path) -> None:
    async with node(tmp_path, 10, a=6, b=4) as world:
        await world.ready(A)
        assert world.stock.offered == (A, B)
        jobs = [world.add("l1", A), world.add("l2", B)]
        await world.ready(A, B)
        await world.until(progress(*jobs))
        assert {view.model: view.jobs for view in world.pool.views()} == {"a": 1, "b": 1}
        assert len({view.pid for view in world.pool.views()}) == 2


@pytest.mark.usefixtures("quick")
async def test_an_idle_model_makes_room_and_is_gone_before_the_next_one_is_loaded(tmp_path: Path) -> None:
    async with node(tmp_path, 6, a=6, b=4) as world:
        await world.ready(A)
        first = world.pool.runners[A].supervisor
        job = world.add("l1", B)
        await world.until(lambda: A not in world.pool.runners)
        assert B not in world.pool.runners, "the memory is not back yet"
        await world.ready(B)
        assert first.pid is None
        await world.until(progress(job))
        assert world.pool.counts["deaths"] == 0


async def test_a_model_that_came_just_now_makes_no_room_and_nothing_else_is_offered_meanwhile(tmp_path: Path) -> None:
    async with node(tmp_path, 6, a=6, b=4) as world:
        await world.ready(A)
        assert world.stock.offered == (A,)
        job = world.add("l1", B)
        for _ in range(5):
            world.tend()
            await asyncio.sleep(0)
        assert (job.end, set(world.pool.runners)) == (None, {A})


@pytest.mark.usefixtures("quick")
async def test_a_job_that_cannot_have_its_model_soon_is_handed_back_without_blame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node(tmp_path, 6, a=6, b=4, c=99) as world:
        await world.ready(A)
        busy = world.add("l1", A)
        never = world.add("l2", C)
        await world.until(lambda: never.end)
        assert never.end == g.Release(reason=g.ReleaseReason.YIELDED)
        monkeypatch.setattr("gogrid_desktop.agent.stock.WAIT_S", 0.3)
        waits = world.add("l3", B)
        await world.until(lambda: waits.end)
        assert waits.end == g.Release(reason=g.ReleaseReason.YIELDED)
        assert busy.end is None
        assert world.pool.throttle.stats().rejected_for_vram == 2


async def test_an_idle_model_is_unloaded_after_its_time_and_comes_back_only_for_a_job(tmp_path: Path) -> None:
    async with node(tmp_path, 6, a=6) as world:
        await world.ready(A)
        world.unload_after_s = 0.0
        await world.until(lambda: not world.pool.runners and not world.pool.leaving)
        world.unload_after_s = 600.0
        for _ in range(5):
            world.tend()
        assert not world.pool.runners
        assert world.stock.offered == (A,), "a lease would load it"
        job = world.add("l1", A)
        await world.until(lambda: job.made.tokens > 2)


async def test_scarce_memory_takes_the_idle_model_then_a_shorter_context_then_all(tmp_path: Path) -> None:
    async with node(tmp_path, 12, a=8, b=4) as world:
        await world.ready(A)
        job, other = world.add("l1", A), world.add("l2", B)
        await world.until(progress(job, other))
        world.pool.hand_back(other, g.ReleaseReason.YIELDED)
        await world.until(lambda: other.end)
        world.shelf.total = 4
        world.answer = SCARCE
        await world.until(lambda: B not in world.pool.runners)
        await world.until(lambda: A in world.pool.plans and world.pool.plans[A].wanted.context == 512)
        await world.ready(A)
        await world.until(progress(job))
        assert job.token_ids == list(range(job.made.tokens)), "it went on where it was"
        world.shelf.total = 1
        await world.until(lambda: not world.pool.runners)
        assert "no model fits 1" in world.stock.no_room
        assert world.stock.offered == ()


@pytest.mark.usefixtures("quick")
async def test_more_room_is_used_once_the_model_is_idle(tmp_path: Path) -> None:
    async with node(tmp_path, 4, a=8) as world:
        await world.ready(A)
        assert (world.pool.plans[A].wanted.context, world.stock.context) == (512, 512)
        job = world.add("l1", A)
        await world.until(progress(job))
        world.shelf.total = 8
        world.stock.reconsider()
        world.tend()
        assert world.pool.plans[A].wanted.context == 512, "a job runs in it"
        world.pool.hand_back(job, g.ReleaseReason.YIELDED)
        await world.until(lambda: world.pool.plans[A].wanted.context == 1024)
        await world.ready(A)


async def test_the_limits_are_the_nodes_and_divided_over_the_models_that_have_jobs(tmp_path: Path) -> None:
    async with node(tmp_path, 10, a=6, b=4) as world:
        shares: dict[str, Limits] = {}

        def held(model: str) -> Callable[..., None]:
            runner = world.pool.runners[model]
            before = runner.hold

            def hold(limits: Limits, *, paused: bool) -> None:
                shares[model] = limits
                before(limits, paused=paused)

            return hold

        await world.ready(A)
        first = world.add("l1", A)
        world.add("l2", B)
        await world.ready(A, B)
        for model in (A, B):
            world.pool.runners[model].hold = held(model)  # type: ignore[method-assign]
        second = world.add("l3", B)
        assert {model: (one.compute_share, one.batch) for model, one in shares.items()} == {A: (0.4, 1), B: (0.4, 2)}
        world.pool.hand_back(first, g.ReleaseReason.YIELDED)
        await world.until(lambda: first.end)
        await world.until(lambda: shares[B] == WHOLE)
        await world.until(progress(second))


async def test_a_pause_stops_all_workers_and_starts_keep_their_interval_over_all_of_them(tmp_path: Path) -> None:
    async with node(tmp_path, 10, a=6, b=4) as world:
        await world.ready(A)
        world.add("l1", A)
        other = world.add("l2", B)
        await world.until(lambda: other.made.tokens > 2)
        await world.pool.pause()
        before = world.pool.counts["tokens"]
        await asyncio.sleep(0.2)
        assert world.pool.counts["tokens"] == before
        await world.pool.limit(replace(WHOLE, interval_ms=3_600_000))
        late = [world.add("l3", A), world.add("l4", B)]
        await world.until(lambda: world.pool.counts["tokens"] > before + 5)
        assert [job.started_in for job in late] == [None, None]
        assert world.pool.throttle.stats().waiting == 2


async def test_a_job_of_a_model_that_the_grid_has_no_more_goes_back(tmp_path: Path) -> None:
    async with node(tmp_path, 6, a=6) as world:
        await world.ready(A)
        job = world.add("l1", B)
        await world.until(lambda: job.end)
        assert job.end == g.Release(reason=g.ReleaseReason.YIELDED)


async def test_the_devices_are_learned_before_the_first_plan(tmp_path: Path) -> None:
    world = World(tmp_path, Shelf(1, {}))
    await world.pool.scout()
    assert world.pool.backends == ("CPU",)


def test_unloading_all_hands_nothing_out(tmp_path: Path) -> None:
    world = World(tmp_path, Shelf(1, {}))
    world.pool.unload()
    assert (world.pool.views(), world.pool.held(), world.pool.ready) == ((), (), ())
