"""Jobs and the worker that runs them: what a death, a deaf worker and a bad model mean for a job (real processes)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import fixtures_fake_worker
import pytest

from gogrid_desktop.agent import runner as runners
from gogrid_desktop.agent.clock import SystemClock
from gogrid_desktop.agent.outbox import HeldJob, Outbox
from gogrid_desktop.agent.runner import OBEY_S, Runner
from gogrid_desktop.agent.supervisor import Supervisor
from gogrid_desktop.agent.throttle import RequestThrottle
from gogrid_desktop.agent.wanted import WantedModel
from gogrid_desktop.core.backoff import Backoff
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Profile
from gogrid_desktop.core.restarts import MOST_FAILURES
from gogrid_desktop.core.worker_state import WorkerState
from gogrid_desktop.protocol import grid as g
from gogrid_desktop.worker import messages as w

MODEL = WantedModel("/model.gguf", "c" * 64, context=512, total_context=1024, slots=4)


def lease(name: str, *, alone: bool = False) -> g.Lease:
    job = g.Job(
        id="job-" + name,
        kind=g.JobKind.CHAT,
        model=MODEL.sha256,
        rendered_at=0.0,
        params=g.SamplingParams(max_tokens=500),
        deadline=4e9,
    )
    return g.Lease(id=name, fence=1, job=job, alone=alone)


def make_runner(
    outbox: Outbox, changed: Callable[[], None], command: tuple[str, ...], throttle: RequestThrottle
) -> Runner:
    def supervise(heard: Callable[[w.Event], None], own: Callable[[], Mapping[str, str]]) -> Supervisor:
        return Supervisor(heard, command, own)

    return Runner(MODEL.sha256, outbox, SystemClock(), changed, supervise, throttle)


class World:
    def __init__(self, folder: Path, *how: str) -> None:
        self.marks = folder / "marks"
        self.outbox = Outbox()
        self._changed = asyncio.Event()
        command = (sys.executable, fixtures_fake_worker.__file__, str(self.marks), *how)
        self.throttle = RequestThrottle(SystemClock())
        self.runner = make_runner(self.outbox, self._changed.set, command, self.throttle)

    def add(self, name: str, *, alone: bool = False) -> HeldJob:
        job = self.outbox.add(lease(name, alone=alone))
        self.runner.start(job)
        return job

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                self._changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 0.1)

    def starts(self) -> list[tuple[str, int]]:
        lines = self.marks.read_text().splitlines() if self.marks.exists() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]


@asynccontextmanager
async def running(folder: Path, *how: str) -> AsyncIterator[World]:
    world = World(folder, *how)
    world.runner.want(MODEL)
    await world.runner.limit(PROFILE_LIMITS[Profile.AGGRESSIVE])
    task = asyncio.create_task(world.runner.run())
    watching = asyncio.create_task(world.runner.watch())
    try:
        yield world
        assert not watching.done()
    finally:
        world.runner.close()
        watching.cancel()
        async with asyncio.timeout(5):
            await task


async def test_a_worker_killed_from_outside_is_replaced_and_its_jobs_go_on_from_their_tokens(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        jobs = [world.add("l1"), world.add("l2")]
        await world.until(lambda: all(job.made.tokens > 5 for job in jobs))
        first = world.runner.supervisor.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await world.until(lambda: world.runner.supervisor.pid not in (None, first))
        there = {job.lease.id: job.made.tokens for job in jobs}
        await world.until(lambda: all(job.made.tokens > there[job.lease.id] for job in jobs))
        assert world.starts() == [("l1", 0), ("l2", 0), ("l1", there["l1"]), ("l2", there["l2"])]
        assert all(job.end is None and job.token_ids == list(range(job.made.tokens)) for job in jobs)
        assert (world.runner.runs.resumed, world.runner.deaths) == (2, 1)


async def test_a_worker_that_dies_of_its_own_fault_makes_its_jobs_suspects(tmp_path: Path) -> None:
    async with running(tmp_path, "crash") as world:
        jobs = [world.add("l1"), world.add("l2")]
        await world.until(lambda: all(job.end for job in jobs))
        assert {job.end.kind for job in jobs if isinstance(job.end, g.Fault)} == {g.FaultKind.SUSPECT}


async def test_a_job_that_was_alone_in_the_worker_that_died_is_at_fault(tmp_path: Path) -> None:
    async with running(tmp_path, "crash") as world:
        job = world.add("l1", alone=True)
        await world.until(lambda: job.end)
        assert isinstance(job.end, g.Fault)
        assert job.end.kind is g.FaultKind.JOB


async def test_a_worker_that_does_not_stop_in_time_is_killed_and_its_jobs_are_released(tmp_path: Path) -> None:
    async with running(tmp_path, "deaf") as world:
        job = world.add("l1")
        await world.until(lambda: job.made.tokens > 2)
        pid = world.runner.supervisor.pid
        loop = asyncio.get_running_loop()
        began = loop.time()
        await world.runner.pause()
        assert loop.time() - began < OBEY_S + 1
        world.runner.hand_back(job, g.ReleaseReason.YIELDED)
        await world.until(lambda: world.runner.supervisor.pid != pid)
        await world.until(lambda: job.end)
        assert job.end == g.Release(reason=g.ReleaseReason.YIELDED)


async def test_a_job_handed_back_is_released_after_its_last_token(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        job = world.add("l1")
        await world.until(lambda: job.made.tokens > 2)
        world.runner.hand_back(job, g.ReleaseReason.DRAINED)
        await world.until(lambda: job.end)
        made = job.made
        await asyncio.sleep(0.1)
        assert (job.end, job.made) == (g.Release(reason=g.ReleaseReason.DRAINED), made)


async def test_a_paused_worker_makes_nothing_until_it_is_told_to(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        job = world.add("l1")
        await world.until(lambda: job.made.tokens > 2)
        await world.runner.pause()
        made = job.made
        await asyncio.sleep(0.2)
        assert job.made == made
        await world.runner.limit(PROFILE_LIMITS[Profile.BALANCED])
        await world.until(lambda: job.made.tokens > made.tokens)


async def test_a_model_that_cannot_be_loaded_is_told_and_its_jobs_are_given_up_without_blame(tmp_path: Path) -> None:
    async with running(tmp_path, "fail-load") as world:
        job = world.add("l1")
        await world.until(lambda: job.end)
        assert world.runner.problem == "The file is no model. Fetch it again."
        assert isinstance(job.end, g.Fault)
        assert job.end.kind is g.FaultKind.WORKER


async def test_a_load_that_failed_is_tried_again_and_its_memory_went_with_the_process(tmp_path: Path) -> None:
    async with running(tmp_path, "fail-once") as world:
        await world.until(lambda: world.runner.problem)
        assert not world.runner.ready
        first = world.runner.supervisor.pid
        await world.until(lambda: world.runner.ready)
        assert world.runner.supervisor.pid != first
        assert (world.runner.problem, world.runner.state) == ("", WorkerState.READY)


async def test_a_model_that_keeps_failing_is_given_up_with_a_reason_until_something_changes(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, "fail-load") as world:
        world.runner.backoff = Backoff(base_s=0.0)
        await world.until(lambda: world.runner.given_up)
        assert world.runner.state is WorkerState.FAILED
        assert "given up" in world.runner.problem
        assert "The file is no model." in world.runner.problem
        assert (world.runner.deaths, world.runner.supervisor.pid) == (MOST_FAILURES, None)
        job = world.add("l1")
        assert isinstance(job.end, g.Fault), "no job waits for it"
        world.runner.mended()
        await world.until(lambda: world.runner.deaths > MOST_FAILURES)


async def test_a_worker_that_hangs_in_a_step_is_killed_and_its_job_is_a_suspect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "PING_BUSY_S", 0.02)
    async with running(tmp_path, "hang") as world:
        jobs = [world.add("l1"), world.add("l2")]
        await world.until(lambda: all(job.end for job in jobs))
        assert {job.end.kind for job in jobs if isinstance(job.end, g.Fault)} == {g.FaultKind.SUSPECT}
        await world.until(lambda: world.runner.ready)
        after = world.add("l3")
        await world.until(lambda: after.made.tokens > 5)


async def test_a_worker_whose_states_cannot_follow_each_other_is_ended(tmp_path: Path) -> None:
    async with running(tmp_path, "illegal") as world:
        await world.until(lambda: world.runner.deaths)
        assert not world.runner.ready


async def test_another_plan_is_another_process_in_which_the_jobs_go_on(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        job = world.add("l1")
        await world.until(lambda: job.made.tokens > 3)
        first = world.runner.supervisor.pid
        world.runner.want(replace(MODEL, context=256))
        await world.until(lambda: world.runner.loaded and world.runner.loaded.context == 256)
        there = job.made.tokens
        await world.until(lambda: job.made.tokens > there)
        assert world.runner.supervisor.pid != first
        assert (job.end, job.token_ids, world.runner.deaths) == (None, list(range(job.made.tokens)), 0)


async def test_a_worker_that_cannot_rank_higher_again_is_replaced_when_it_is_idle_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "PING_BUSY_S", 0.05)
    monkeypatch.setattr(runners, "PING_IDLE_S", 0.05)
    async with running(tmp_path, "ordinary") as world:
        job = world.add("l1")
        await world.until(lambda: job.made.tokens > 3)
        first = world.runner.supervisor.pid
        await world.runner.limit(PROFILE_LIMITS[Profile.CONSERVATIVE])
        await world.runner.limit(PROFILE_LIMITS[Profile.AGGRESSIVE])
        assert world.runner.rank is not None and world.runner.rank.needs_restart
        there = job.made.tokens
        await world.until(lambda: job.made.tokens > there + 20)
        assert world.runner.supervisor.pid == first, "somebody waits for its tokens"
        world.runner.hand_back(job, g.ReleaseReason.YIELDED)
        await world.until(lambda: world.runner.ready and world.runner.supervisor.pid != first)
        await world.until(lambda: world.runner.rank is not None)
        assert (world.runner.rank.nice, world.runner.rank.needs_restart, world.runner.deaths) == (0, False, 0)


@pytest.mark.parametrize("how", [(), ("stubborn",)])
async def test_a_worker_that_is_retired_is_gone_at_once_whether_it_unloads_or_not(
    tmp_path: Path, how: tuple[str, ...]
) -> None:
    async with running(tmp_path, *how) as world:
        await world.until(lambda: world.runner.ready)
        world.runner.retire()
        assert not world.runner.ready
        await world.until(lambda: world.runner.supervisor.pid is None)
        assert (world.runner.state, world.runner.deaths) == (WorkerState.DEAD, 0)


async def test_jobs_that_are_handed_back_before_their_turn_never_start(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        world.throttle.interval_s = 3600
        first, second = world.add("l1"), world.add("l2")
        await world.until(lambda: first.made.tokens > 2)
        world.runner.hand_back(second, g.ReleaseReason.YIELDED)
        assert second.end == g.Release(reason=g.ReleaseReason.YIELDED)
        await world.until(lambda: world.throttle.stats().waiting == 0)
        assert [name for name, _ in world.starts()] == ["l1"]


async def test_a_program_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    runner = make_runner(Outbox(), lambda: None, ("/nowhere/worker",), RequestThrottle(SystemClock()))
    runner.want(MODEL)
    task = asyncio.create_task(runner.run())
    async with asyncio.timeout(20):
        while not runner.problem:
            await asyncio.sleep(0.01)
    runner.close()
    await task
    assert "cannot be started" in runner.problem
