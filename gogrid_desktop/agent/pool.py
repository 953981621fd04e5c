"""All workers of this node: one for each model that memory holds, from none to many, by demand.

The limits are the node's: they are divided over the workers that have jobs, and starts keep their interval over all of
them. Which models are held is not decided here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from gogrid_desktop.agent.clock import Clock
from gogrid_desktop.agent.outbox import HeldJob, Outbox
from gogrid_desktop.agent.planning import Held, Planned
from gogrid_desktop.agent.runner import Runner, Supervise
from gogrid_desktop.agent.runs import release
from gogrid_desktop.agent.throttle import RequestThrottle
from gogrid_desktop.core.placement import Resident, share_out
from gogrid_desktop.core.profiles import NOTHING, Limits
from gogrid_desktop.core.status import WorkerView
from gogrid_desktop.errors import GoGridError
from gogrid_desktop.protocol import grid as g
from gogrid_desktop.worker import messages as w

SCOUT_S = 60.0

log = logging.getLogger(__name__)


class WorkerPool:
    """`changed` is called whenever something happened that reports or status should know of."""

    def __init__(self, outbox: Outbox, clock: Clock, changed: Callable[[], None], supervise: Supervise) -> None:
        self.runners: dict[str, Runner] = {}
        self.plans: dict[str, Planned] = {}
        self.names: Mapping[str, str] = {}
        self.ceilings: Mapping[str, Limits] = {}  # of single GPUs, by their UUIDs
        self.throttle = RequestThrottle(clock)
        self._outbox, self._clock, self._changed, self._supervise = outbox, clock, changed, supervise
        self._limits, self._paused = NOTHING, True
        self._shares: dict[str, Limits] = {}
        self._leaving: dict[str, Runner] = {}  # their processes are ending
        self._retired: dict[str, Planned] = {}  # what those still hold
        self._measured: dict[str, Held] = {}
        self._scouted: tuple[str, ...] = ()
        self._gone: Counter[str] = Counter()  # counts of the workers that are no more
        self._tasks: set[asyncio.Task[None]] = set()
        self._broken: asyncio.Future[None] | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    # --- what the node is --------------------------------------------------------------------------------------------

    @property
    def ready(self) -> tuple[str, ...]:
        """Models that jobs can run on now."""
        return tuple(model for model, runner in self.runners.items() if runner.ready)

    @property
    def loading(self) -> bool:
        """Whether a model is on its way."""
        return any(not runner.ready and not runner.problem for runner in self.runners.values())

    @property
    def backends(self) -> tuple[str, ...]:
        """The compute devices that the workers see."""
        return self._scouted or next((runner.backends for runner in self.runners.values() if runner.backends), ())

    @property
    def problem(self) -> str:
        """Why a model cannot be loaded."""
        return next((runner.problem for runner in self.runners.values() if runner.problem), "")

    @property
    def counts(self) -> Counter[str]:
        """`tokens` made, jobs `resumed`, and workers that died without being asked to (`deaths`), since the start."""
        counts = Counter(self._gone)
        for runner in (*self.runners.values(), *self._leaving.values()):
            counts += Counter(tokens=runner.runs.tokens, resumed=runner.runs.resumed, deaths=runner.deaths)
        return counts

    def pids(self) -> list[int]:
        """Of the workers' processes, also of those that are ending."""
        runners = (*self.runners.values(), *self._leaving.values())
        return [runner.supervisor.pid for runner in runners if runner.supervisor.pid is not None]

    @property
    def tokens_per_s(self) -> float:
        return sum(runner.runs.tokens_per_s for runner in self.runners.values())

    def views(self) -> tuple[WorkerView, ...]:
        """One for each worker, the one with most to say first."""
        return tuple(
            WorkerView(
                model=self.names.get(model, model[:12]),
                state=runner.state.value,
                pid=runner.supervisor.pid,
                jobs=len(runner.runs.jobs),
                tokens_per_s=runner.runs.tokens_per_s,
                rss_bytes=runner.rss_bytes,
                plan=self.plans[model].why if model in self.plans else "",
                health=runner.verdict.sentence,
                problem=runner.problem,
                rank=runner.rank.sentence() if runner.rank is not None else "",
            )
            for model, runner in sorted(self.runners.items(), key=lambda item: (-len(item[1].runs.jobs), item[0]))
        )

    # --- what the governor and leasing ask ---------------------------------------------------------------------------

    def start(self, job: HeldJob) -> None:
        """Run a job as soon as its model is loaded."""
        runner = self.runners.get(job.lease.job.model)
        if runner is not None:
            self._share_out()
            runner.start(job)

    def hand_back(self, job: HeldJob, reason: g.ReleaseReason) -> None:
        """Release a job with the tokens so far, once its worker has stopped it."""
        runner = self.runners.get(job.lease.job.model)
        if runner is not None:
            runner.hand_back(job, reason)
        elif job.end is None:
            job.yielding = job.yielding or reason
            release(job)
            self._changed()

    def drop(self, job: HeldJob) -> None:
        """The job is not ours any more."""
        runner = self.runners.get(job.lease.job.model)
        if runner is not None:
            runner.drop(job)

    async def limit(self, limits: Limits) -> None:
        """Hold to these limits, all workers together; returns when no step under the old ones runs. Lifts a pause."""
        self._limits, self._paused = limits, False
        self.throttle.interval_s = limits.interval_ms / 1000
        self._shares = self._shares_now()
        await asyncio.gather(*(runner.limit(self._limits_of(model)) for model, runner in self.runners.items()))

    async def pause(self) -> None:
        """No step at all from now on."""
        self._paused = True
        await asyncio.gather(*(runner.pause() for runner in self.runners.values()))

    async def room(self, slots: int, *, prefixes: bool) -> None:
        """Each worker holds at most so many sequences, and finished prefixes only where `prefixes` says so."""
        await asyncio.gather(*(runner.room(slots, prefixes=prefixes) for runner in self.runners.values()))

    def mended(self) -> None:
        """Something changed: what was given up may work now."""
        for runner in self.runners.values():
            runner.mended()

    def renew(self) -> None:
        """Replace every worker's process; the jobs go on in the new ones."""
        for runner in self.runners.values():
            runner.renew()

    async def scout(self) -> None:
        """Learn which compute devices llama.cpp sees, before the first plan is made."""
        seen: list[w.Hello] = []

        def heard(event: w.Event) -> None:
            if isinstance(event, w.Hello):
                seen.append(event)
                supervisor.kill()

        supervisor = self._supervise(heard, dict)
        try:
            await asyncio.wait_for(supervisor.run_once(), SCOUT_S)
        except (OSError, GoGridError, TimeoutError) as error:
            log.warning("the compute devices are not known yet: %s", error)
        self._scouted = seen[0].backends if seen else ()

    async def run(self) -> None:
        """Serve until cancelled; what ends a runner by accident ends this too."""
        self._broken = asyncio.get_running_loop().create_future()
        try:
            for model, runner in self.runners.items():
                self._serve(model, runner)
            await self._broken
        finally:
            self.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """End all workers now."""
        for runner in (*self.runners.values(), *self._leaving.values()):
            runner.close()

    # --- memory ------------------------------------------------------------------------------------------------------

    def load(self, model: str, planned: Planned) -> None:
        """Hold a model like this from now on: in a new worker, or in place of what held it."""
        runner = self.runners.get(model)
        self.plans[model] = planned
        self._measured.pop(model, None)
        if runner is not None:
            runner.want(planned.wanted, planned.held().ram_bytes)
            return
        runner = self.runners[model] = Runner(
            model, self._outbox, self._clock, self._runner_changed, self._supervise, self.throttle
        )
        runner.want(planned.wanted, planned.held().ram_bytes)
        runner.hold(self._limits_of(model), paused=self._paused)
        self._share_out()
        if self._broken is not None:
            self._serve(model, runner)

    def unload(self, models: Iterable[str] | None = None) -> None:
        """Give the memory of these models back, by default of all."""
        for model in tuple(self.runners if models is None else models):
            self._empty.clear()
            runner = self._leaving[model] = self.runners.pop(model)
            self._retired[model] = self.plans.pop(model)
            runner.retire()

    def measure(self, measured: Callable[[Planned, int, int], Held]) -> None:
        """What a worker really holds counts from when it has loaded. `measured` is given its own figure and its pid."""
        for model, runner in self.runners.items():
            pid = runner.supervisor.pid
            if runner.loaded is not None and pid is not None and model not in self._measured:
                self._measured[model] = measured(self.plans[model], runner.loaded.memory_bytes, pid)

    @property
    def residents(self) -> list[Resident]:
        """Every model that is loaded or being loaded."""
        return [
            Resident(model, len(runner.runs.jobs), runner.loaded_at, runner.used_at)
            for model, runner in self.runners.items()
        ]

    @property
    def leaving(self) -> bool:
        """Whether the memory of a worker is still on its way back."""
        return bool(self._leaving)

    async def emptied(self) -> None:
        """Wait until the memory of every worker that leaves is back."""
        await self._empty.wait()

    def held(self, keep: Collection[str] | None = None) -> tuple[Held, ...]:
        """The memory that these workers hold or are about to, by default all, and those that have not quite gone."""
        staying = [(model, runner, self.plans[model]) for model, runner in self.runners.items() if not runner.given_up]
        kept = [one for one in staying if keep is None or one[0] in keep]
        going = [(model, runner, self._retired[model]) for model, runner in self._leaving.items()]
        return tuple(self._held_by(*one) for one in (*kept, *going))

    def _held_by(self, model: str, runner: Runner, planned: Planned) -> Held:
        pid = runner.supervisor.pid
        return self._measured.get(model) or planned.held(() if pid is None else (pid,))

    # --- serving -----------------------------------------------------------------------------------------------------

    def _serve(self, model: str, runner: Runner) -> None:
        async def serve() -> None:
            watching = asyncio.create_task(runner.watch(), name=f"worker-health {model[:12]}")
            try:
                await runner.run()
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
                self._left(model, runner)

        task = asyncio.create_task(serve(), name=f"worker {model[:12]}")
        self._tasks.add(task)
        task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and self._broken is not None and not self._broken.done():
            self._broken.set_exception(error)

    def _left(self, model: str, runner: Runner) -> None:
        if self._leaving.get(model) is runner:
            del self._leaving[model]
            del self._retired[model]
            self._measured.pop(model, None)
        if not self._leaving:
            self._empty.set()
        self._gone += Counter(tokens=runner.runs.tokens, resumed=runner.runs.resumed, deaths=runner.deaths)
        self._changed()

    # --- limits ------------------------------------------------------------------------------------------------------

    def _runner_changed(self) -> None:
        self._share_out()
        self._changed()

    def _shares_now(self) -> dict[str, Limits]:
        return share_out(self._limits, [job.lease.job.model for job in self._outbox.running])

    def _limits_of(self, model: str) -> Limits:
        """With the ceilings of the GPUs that hold the model."""
        limits = self._shares.get(model, self._limits)
        for uuid in self.plans[model].wanted.gpus if model in self.plans else ():
            limits = limits.meet(self.ceilings.get(uuid, limits))
        return limits

    def _share_out(self) -> None:
        """Divide the limits anew where the jobs have changed: first what falls, then what rises."""
        if len(self.runners) < 2 or self._paused:
            return
        before, self._shares = self._shares, self._shares_now()
        if before == self._shares:
            return
        for model in sorted(self.runners, key=lambda one: self._limits_of(one).compute_share):
            self.runners[model].hold(self._limits_of(model), paused=False)
