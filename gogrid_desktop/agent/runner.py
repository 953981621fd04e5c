"""Brings the held jobs of one model and its worker together: loads it, starts and resumes jobs, survives deaths.

What is wanted (plan, limits, paused) is kept here, so that a new worker is told all of it when it says hello, and every
held job goes on in it from the tokens that the old one had emitted. A worker loads once: another plan is another
process, so that no load ever begins beside the memory of the one before.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping

from gogrid_desktop.agent.clock import Clock, happens
from gogrid_desktop.agent.outbox import HeldJob, Outbox
from gogrid_desktop.agent.runs import Runs, release
from gogrid_desktop.agent.supervisor import Death, Supervisor
from gogrid_desktop.agent.throttle import RequestThrottle
from gogrid_desktop.agent.vitals import Vitals
from gogrid_desktop.agent.wanted import WantedModel, load_frame
from gogrid_desktop.core.backoff import Backoff
from gogrid_desktop.core.health import Action, Verdict, judge
from gogrid_desktop.core.profiles import NOTHING, Limits
from gogrid_desktop.core.rank import Rank
from gogrid_desktop.core.restarts import AGAIN_S, Restarts
from gogrid_desktop.core.worker_state import LifeCycle, Moment, Transition, WorkerState, is_loaded
from gogrid_desktop.errors import GoGridError
from gogrid_desktop.protocol import grid as g
from gogrid_desktop.worker import messages as w

log = logging.getLogger(__name__)
worker_log = logging.getLogger("gogrid_desktop.worker")

#: A worker that has not done what it was told by then is killed: its memory must come back (row A14).
OBEY_S = 0.8
PING_BUSY_S, PING_IDLE_S = 1.0, 5.0
#: We slept for so much longer than we asked for: the machine was suspended or choked, and pings say nothing.
OVERSLEPT_S = 2.0
#: Makes a supervisor, given where its events go and what a runner adds to the environment of its processes.
Supervise = Callable[[Callable[[w.Event], None], Callable[[], Mapping[str, str]]], Supervisor]


class Runner:
    """Owns the worker of one model. `changed` is called whenever something happened that reports or status show."""

    def __init__(
        self,
        sha256: str,
        outbox: Outbox,
        clock: Clock,
        changed: Callable[[], None],
        supervise: Supervise,
        throttle: RequestThrottle,
    ) -> None:
        self.sha256 = sha256
        self.supervisor = supervise(self._on_event, self._environment)
        self.plan: WantedModel | None = None
        self.verdict = Verdict()
        self.problem = ""
        self.backends: tuple[str, ...] = ()
        self.loaded: w.Loaded | None = None
        self.rank: Rank | None = None
        self.loaded_at = self.used_at = clock.monotonic()
        self.deaths = 0
        self.runs = Runs(sha256, outbox, clock, throttle, self.supervisor.send, self._finished)
        self._clock, self._changed = clock, changed
        observers = dict.fromkeys(Moment, self._became)
        self._life = LifeCycle(WorkerState.DEAD, observers)
        self._vitals = Vitals()
        self._limits = NOTHING
        self._room: tuple[int, bool] | None = None
        self._paused = True
        self._seq = 0
        self._applied: dict[int, asyncio.Event] = {}
        self._kicked = asyncio.Event()
        self._load_problem = ""
        self._leaving = False
        self._started_for: WantedModel | None = None
        self._tokens_before = 0  # of the processes before this one
        self.backoff = Backoff()
        self._restarts = Restarts()

    # --- what the pool asks ------------------------------------------------------------------------------------------

    @property
    def state(self) -> WorkerState:
        """Of the life cycle; a model that was given up is failed, whatever became of its process."""
        return WorkerState.FAILED if self.given_up else self._life.state

    @property
    def ready(self) -> bool:
        """Whether jobs can run now."""
        return self.loaded is not None and is_loaded(self._life.state)

    @property
    def given_up(self) -> bool:
        """Whether no more is tried for now; `problem` says why."""
        return self._restarts.given_up(self._clock.monotonic())

    @property
    def rss_bytes(self) -> int:
        return self._vitals.rss_bytes

    def want(self, plan: WantedModel, bound_bytes: int = 0) -> None:
        """Hold the model like this from now on; jobs that run go on in the new worker.

        `bound_bytes`: main memory that the worker is expected to need at most; 0 = not known.
        """
        if plan == self.plan:
            return
        before, self.plan, self._vitals.expected_bytes = self.plan, plan, bound_bytes
        if before is not None:
            self.renew()
        self._kicked.set()

    def mended(self) -> None:
        """Something changed that may let the model work again: begin anew."""
        self._restarts = Restarts()
        self.backoff.reset()
        self.problem = ""
        self._kicked.set()

    def renew(self) -> None:
        """Give all memory back and replace the process; its jobs go on in the next one."""
        pid, loading = self.supervisor.pid, self.loaded is None
        self._leaving, self.loaded = True, None
        if pid is not None and loading:
            self.supervisor.kill()  # it would listen only when it has loaded
        elif pid is not None:
            self.supervisor.send(w.Unload())
            # Whatever becomes of the unloading, the end of the process brings everything back.
            asyncio.get_running_loop().call_later(OBEY_S, self._kill, pid)

    def retire(self) -> None:
        """Give all memory back; `run` returns then. Jobs that still wait for this model are the pool's."""
        self.plan = None
        self._kicked.set()
        self.renew()

    def start(self, job: HeldJob) -> None:
        """Run a job as soon as the worker is ready for it."""
        self.used_at = self._clock.monotonic()
        if self.given_up:
            self.runs.give_up("The model could not be loaded.")
        elif self.ready:
            self.runs.start(job, self.supervisor.pid)

    def hold(self, limits: Limits, *, paused: bool) -> None:
        """Hold to these limits from the next step on, without waiting for it."""
        self._limits, self._paused = limits, paused
        self.supervisor.send(w.SetLimits(seq=0, limits=limits))
        self.supervisor.send(w.Pause(seq=0) if paused else w.Resume(seq=0))

    async def limit(self, limits: Limits) -> None:
        """Hold to these limits; returns when no step under the old ones runs. Lifts a pause."""
        self._limits = limits
        await self._obeyed(lambda seq: w.SetLimits(seq=seq, limits=limits))
        if self._paused:
            self._paused = False
            await self._obeyed(lambda seq: w.Resume(seq=seq))

    async def pause(self) -> None:
        """No step at all from now on; a worker that does not obey in time is killed."""
        self._paused = True
        await self._obeyed(lambda seq: w.Pause(seq=seq))

    async def room(self, slots: int, *, prefixes: bool) -> None:
        """Run at most so many jobs at once, and keep finished prefixes only where `prefixes` says so."""
        self._room = (slots, prefixes)
        if self.ready:
            await self._obeyed(lambda seq: w.Room(seq=seq, slots=slots, prefixes=prefixes))

    def hand_back(self, job: HeldJob, reason: g.ReleaseReason) -> None:
        """Release a job with the tokens so far, once the worker has stopped it."""
        if job.end is not None or job.yielding is not None:
            return
        job.yielding = reason
        if not self.runs.stop(job):
            release(job)
            self._changed()

    def drop(self, job: HeldJob) -> None:
        """The job is not ours any more: stop it and forget it."""
        self.runs.stop(job)

    # --- the worker's life -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a worker until no model is wanted any more."""
        while self.plan is not None:
            self._kicked.clear()
            if self.given_up:
                await happens(self._kicked, self._clock, AGAIN_S)
                continue
            began = self._clock.monotonic()
            self._load_problem, self._leaving = "", False
            self._tokens_before, self._started_for = self.runs.tokens, self.plan
            self._life.become(WorkerState.SPAWNING)
            try:
                death = await self.supervisor.run_once()
            except (OSError, GoGridError) as error:
                death = Death.FAULT
                self._load_problem = f"The inference process cannot be started: {error}."
            hung = self.verdict.sentence if self.verdict.action is Action.KILL else ""
            self._ended(death)
            if death is Death.ASKED and not self._load_problem:
                continue
            self.deaths += 1
            if death is not Death.OUTSIDE or self.runs.tokens == self._tokens_before:
                self._failed(self._load_problem or hung or f"The inference process died ({death.value}).")
            delay_s = self.backoff.after(self._clock.monotonic() - began, os.urandom(1)[0] / 255)
            if self.plan is not None and not self.given_up:
                log.info("the worker is started again in %.1f s", delay_s)
                await happens(self._kicked, self._clock, delay_s)

    async def watch(self) -> None:
        """Ask how the worker is, judge it, and do what the verdict says."""
        while True:
            every_s = PING_BUSY_S if self._life.state is WorkerState.PROCESSING else PING_IDLE_S
            asleep_at = self._clock.monotonic()
            await self._clock.sleep(every_s)
            now = self._clock.monotonic()
            if now - asleep_at > every_s + OVERSLEPT_S:
                self._vitals.excuse(now)
            elif self.ready and self.rank is not None and self.rank.needs_restart and not self.runs.jobs:
                log.info("the worker is idle and replaced: only a new process may rank higher again")
                self.renew()
            elif self._life.state not in (WorkerState.DEAD, WorkerState.SPAWNING, WorkerState.EVICTING):
                self._heed(judge(self._vitals.readings(self._limits, paused=self._paused), now), now)
                self._seq += 1
                if self._vitals.pinging(self._seq, now):
                    self.supervisor.send(w.Ping(seq=self._seq))

    def close(self) -> None:
        """End the worker now, for good."""
        self.plan = None
        self._kicked.set()
        self.supervisor.kill()

    def _kill(self, pid: int) -> None:
        if self.supervisor.pid == pid:
            self.supervisor.kill()

    def _heed(self, verdict: Verdict, now: float) -> None:
        if verdict.sentence and verdict.check is not self.verdict.check:
            log.warning("the worker is not well: %s", verdict.sentence)
        self.verdict = verdict
        match verdict.action:
            case Action.KILL:
                self._vitals.pace = self._vitals.pace.killed()
                self.supervisor.kill(hung=True)
            case Action.END:
                self.supervisor.kill()
            case Action.RENEW if not self.runs.jobs:
                self.renew()
            case Action.PROBE:
                self._seq += 1
                self._vitals.probing(self._seq, now)
                self.supervisor.send(w.Probe(seq=self._seq))
            case _:
                return

    def _failed(self, why: str) -> None:
        self._restarts = self._restarts.failed(self._clock.monotonic(), why)
        if self.given_up:
            self.problem = self._restarts.sentence()
            log.error("%s", self.problem)
            self.runs.give_up("The model could not be loaded.")

    def _ended(self, death: Death) -> None:
        self.loaded = self.rank = None
        self._life.become(WorkerState.DEAD)
        for waiter in self._applied.values():
            waiter.set()
        if death is Death.FAULT and not self.runs.started:  # otherwise its last words could be somebody's prompt
            log.warning("the worker's last words: %s", " | ".join(list(self.supervisor.last_words)[-5:]))
        self.runs.died(death)
        self._changed()

    def _finished(self) -> None:
        self._restarts = self._restarts.worked()
        self.backoff.reset()

    def _environment(self) -> dict[str, str]:
        """Which GPUs the process may see: those of the plan, and none where it takes none."""
        plan = self._started_for
        return {} if plan is None else {"CUDA_VISIBLE_DEVICES": ",".join(plan.gpus)}

    def _hello(self, hello: w.Hello) -> None:
        self.backends = hello.backends
        plan = self.plan
        if plan is None or plan != self._started_for:
            self.supervisor.kill()  # what was wanted has changed since it was started
            return
        self.supervisor.send(w.SetLimits(seq=0, limits=self._limits))
        if self._paused:
            self.supervisor.send(w.Pause(seq=0))
        self.supervisor.send(load_frame(plan))

    def _became(self, transition: Transition) -> None:
        now = self._clock.monotonic()
        self._vitals.became(transition.after, now)
        match transition.moment:
            case Moment.SPAWN:
                self._vitals.reset(now)
            case Moment.READY:
                self.loaded_at = self.used_at = now
                if self._room is not None:
                    self.supervisor.send(w.Room(seq=0, slots=self._room[0], prefixes=self._room[1]))
                for job in self.runs.jobs:
                    self.runs.start(job, self.supervisor.pid)
            case Moment.COMPLETE:
                self.used_at = now
            case Moment.EVICT:
                self.loaded = None

    def _loaded(self, event: w.Loaded) -> None:
        log.info("model loaded in %.1f s: %d sequences of up to %d tokens", event.load_s, event.slots, event.context)
        self.loaded, self.problem = event, ""

    def _load_failed(self, event: w.LoadFailed) -> None:
        self.problem = self._load_problem = f"{event.message} {event.remedy}".strip()
        log.error("the model cannot be loaded: %s", self.problem)
        self.runs.give_up("The model could not be loaded.")
        self.supervisor.kill()  # whatever the attempt has taken comes back with its process

    # --- what the worker says ----------------------------------------------------------------------------------------

    def _on_event(self, event: w.Event) -> None:
        match event:
            case w.Hello():
                self._hello(event)
            case w.StateChanged():
                self._life.become(WorkerState(event.state), event.detail)
            case w.Loaded():
                self._loaded(event)
            case w.LoadFailed():
                self._load_failed(event)
            case w.Unloaded():
                self.supervisor.kill()
            case w.Applied():
                self.rank = event.rank or self.rank
                if event.seq in self._applied:
                    self._applied[event.seq].set()
            case w.Pong():
                self._vitals.ponged(event, self._clock.monotonic())
                return
            case w.Probed():
                self._vitals.probed(event)
            case w.LogRecord():
                worker_log.log(logging.getLevelNamesMapping()[event.level.upper()], "%s", event.message)
                return
            case _:
                self.runs.heard(event)
        self._changed()

    async def _obeyed(self, command: Callable[[int], w.Frame]) -> None:
        """Send a command and wait for its `Applied`; kill a worker that does not obey."""
        self._seq += 1
        seq, done = self._seq, asyncio.Event()
        self._applied[seq] = done
        try:
            if not self.supervisor.send(command(seq)):
                return
            await asyncio.wait_for(done.wait(), OBEY_S)
        except TimeoutError:
            if self._paused:
                log.warning("the worker did not stop within %.1f s and is killed", OBEY_S)
                self.supervisor.kill()
        finally:
            del self._applied[seq]
