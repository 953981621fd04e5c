"""Brings held jobs and the worker together: loads the model, starts and resumes jobs, carries limits, survives deaths.

What is wanted (model, limits, paused) is kept here, so that a new worker is told all of it when it says hello, and
every held job goes on in it from the tokens that the old one had emitted.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gogrid_desktop.agent.clock import Clock
from gogrid_desktop.agent.outbox import HeldJob, Outbox
from gogrid_desktop.agent.supervisor import Death, Supervisor
from gogrid_desktop.core.backoff import Backoff
from gogrid_desktop.core.profiles import NOTHING, Limits
from gogrid_desktop.protocol import grid as g
from gogrid_desktop.worker import messages as w

log = logging.getLogger(__name__)
worker_log = logging.getLogger("gogrid_desktop.worker")

#: A worker that has not done what it was told by then is killed: its memory must come back (row A14).
OBEY_S = 0.8
PING_S = 5.0
#: Without a step for this long while jobs run, the worker hangs.
HANG_S = 60.0
#: Workers that may die with a job, from outside and without a new token, before the lease is given up.
MAX_DEATHS = 5
RATE_WINDOW_S = 5.0


@dataclass(frozen=True, slots=True)
class WantedModel:
    """A model file to hold in the worker. `total_context`: KV cells for all sequences together."""

    path: str
    sha256: str
    context: int
    total_context: int
    slots: int
    threads: int = 0
    gpu_layers: int = 0


class Runner:
    """Owns the worker. `changed` is called whenever something happened that reports or status should know of."""

    def __init__(
        self, outbox: Outbox, clock: Clock, changed: Callable[[], None], command: tuple[str, ...] = ()
    ) -> None:
        self.supervisor = Supervisor(self._on_event, command)
        self.ready = False
        self.resident = ""
        self.problem = ""
        self.state = "none"
        self.backends: tuple[str, ...] = ()
        self.tokens = self.resumed = self.restarts = 0
        self._outbox = outbox
        self._clock = clock
        self._changed = changed
        self._model: WantedModel | None = None
        self._limits = NOTHING
        self._paused = True
        self._seq = 0
        self._applied: dict[int, asyncio.Event] = {}
        self._wanted = asyncio.Event()
        self._backoff = Backoff()
        self._recent: deque[tuple[float, int]] = deque()
        self._pong: w.Pong | None = None
        self._progress: tuple[float, int] = (0.0, -1)

    # --- what the governor and leasing ask ---------------------------------------------------------------------------

    def want_model(self, model: WantedModel | None) -> None:
        """Hold this model from now on (None: give its memory back)."""
        if model == self._model:
            return
        self._model = model
        self.ready = False
        self.problem = ""
        if model is None:
            self.supervisor.send(w.Unload())
        else:
            self._wanted.set()
            self._load()

    def start(self, job: HeldJob) -> None:
        """Run a job as soon as the worker is ready for it."""
        if self.ready:
            self._start(job)

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

    def hand_back(self, job: HeldJob, reason: g.ReleaseReason) -> None:
        """Release a job with the tokens so far, once the worker has stopped it."""
        if job.end is not None or job.yielding is not None:
            return
        job.yielding = reason
        if job.started_in != self.supervisor.pid or not self.supervisor.send(w.Cancel(lease=job.lease.id)):
            self._released(job)

    def drop(self, job: HeldJob) -> None:
        """The job is not ours any more: stop it and forget it."""
        self.supervisor.send(w.Cancel(lease=job.lease.id))

    @property
    def tokens_per_s(self) -> float:
        """Mean over the last seconds."""
        self._forget_old()
        return sum(count for _, count in self._recent) / RATE_WINDOW_S

    # --- the worker's life -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a worker while a model is wanted."""
        while True:
            await self._wanted.wait()
            began = self._clock.monotonic()
            try:
                death = await self.supervisor.run_once()
            except OSError as error:
                death = Death.FAULT
                self.problem = f"The inference process cannot be started: {error}."
            self._ended(death)
            if self._model is None:
                self._wanted.clear()
            if death is Death.ASKED:
                continue
            self.restarts += 1
            lived_s = self._clock.monotonic() - began
            delay_s = self._backoff.after(lived_s, os.urandom(1)[0] / 255)
            log.info("the worker is started again in %.1f s", delay_s)
            await self._clock.sleep(delay_s)

    async def watch(self) -> None:
        """Health means progress: a worker that answers nothing, or makes no step while jobs run, is killed."""
        while True:
            await self._clock.sleep(PING_S)
            if self.state not in ("ready", "processing", "idle"):
                continue
            self._pong = None
            self._seq += 1
            if not self.supervisor.send(w.Ping(seq=self._seq)):
                continue
            await self._clock.sleep(PING_S)
            now = self._clock.monotonic()
            pong: w.Pong | None = self._pong
            if pong is None:
                if self._progress[0] + HANG_S < now:
                    log.error("the worker does not answer")
                    self.supervisor.kill(hung=True)
                continue
            if pong.steps != self._progress[1] or not pong.running or self._paused:
                self._progress = (now, pong.steps)
            elif self._progress[0] + HANG_S < now:
                log.error("the worker makes no progress")
                self.supervisor.kill(hung=True)

    def close(self) -> None:
        """End the worker now."""
        self._model = None
        self.supervisor.kill()

    def _ended(self, death: Death) -> None:
        self.ready, self.resident, self.state, self.backends = False, "", "dead", ()
        for waiter in self._applied.values():
            waiter.set()
        running = [job for job in self._outbox.running if job.started_in is not None]
        if death is Death.FAULT and not running:  # with a job in it, its last words could be somebody's prompt
            log.warning("the worker's last words: %s", " | ".join(list(self.supervisor.last_words)[-5:]))
        for job in running:
            job.started_in = None
            job.deaths += 1
            if job.yielding is not None:
                self._released(job)
            elif death is Death.FAULT:
                kind = g.FaultKind.JOB if job.lease.alone or len(running) == 1 else g.FaultKind.SUSPECT
                job.end = g.Fault(kind=kind, message="The worker died while this job ran in it.")
            elif job.deaths >= MAX_DEATHS:
                job.end = g.Fault(kind=g.FaultKind.WORKER, message=f"The worker was ended {job.deaths} times.")
        self._changed()

    def _hello(self, hello: w.Hello) -> None:
        self.backends = hello.backends
        self._progress = (self._clock.monotonic(), -1)
        self.supervisor.send(w.SetLimits(seq=0, limits=self._limits))
        if self._paused:
            self.supervisor.send(w.Pause(seq=0))
        self._load()

    def _load(self) -> None:
        m = self._model
        if m is not None:
            self.supervisor.send(
                w.Load(
                    path=m.path,
                    sha256=m.sha256,
                    context=m.context,
                    total_context=m.total_context,
                    slots=m.slots,
                    threads=m.threads,
                    gpu_layers=m.gpu_layers,
                )
            )

    def _loaded(self, event: w.Loaded) -> None:
        if self._model is None or event.sha256 != self._model.sha256:
            return
        log.info("model loaded in %.1f s: %d sequences of up to %d tokens", event.load_s, event.slots, event.context)
        self.ready, self.resident, self.problem = True, event.sha256, ""
        for job in self._outbox.running:
            self._start(job)

    def _load_failed(self, event: w.LoadFailed) -> None:
        self.problem = f"{event.message} {event.remedy}".strip()
        log.error("the model cannot be loaded: %s", self.problem)
        for job in self._outbox.running:
            job.end = g.Fault(kind=g.FaultKind.WORKER, message="The model could not be loaded.")

    def _start(self, job: HeldJob) -> None:
        if job.lease.job.model != self.resident or job.yielding or job.started_in is not None:
            return
        if job.token_ids:
            self.resumed += 1
        job.started_in = self.supervisor.pid
        self.supervisor.send(w.Start(lease=job.lease.id, fence=job.lease.fence, job=job.job_to_resume()))

    # --- what the worker says ----------------------------------------------------------------------------------------

    def _on_event(self, event: w.Event) -> None:
        match event:
            case w.Hello():
                self._hello(event)
            case w.StateChanged():
                self.state = event.state
            case w.Loaded():
                self._loaded(event)
            case w.LoadFailed():
                self._load_failed(event)
            case w.Unloaded():
                self.ready, self.resident = False, ""
            case w.Applied():
                if event.seq in self._applied:
                    self._applied[event.seq].set()
            case w.Pong():
                self._pong = event
            case w.LogRecord():
                worker_log.log(logging.getLevelNamesMapping()[event.level.upper()], "%s", event.message)
            case _:
                self._on_job_event(event)
        self._changed()

    def _on_job_event(self, event: w.Event) -> None:
        job = self._outbox.jobs.get(getattr(event, "lease", ""))
        if job is None or job.end is not None:
            return
        match event:
            case w.Prompted():
                job.prompted(g.PromptFacts(tokens=event.tokens, hash=event.hash))
            case w.Prefilled():
                job.prefilled(event.tokens)
            case w.Emitted():
                job.emitted(event.chunk)
                self.tokens += len(event.chunk.token_ids)
                self._recent.append((self._clock.monotonic(), len(event.chunk.token_ids)))
                self._forget_old()
            case w.Finished():
                job.end = g.Complete(tokens=event.tokens, bytes=event.bytes, finish_reason=event.finish_reason)
            case w.JobRejected(needs_context=int(tokens)):
                job.end = g.Release(reason=g.ReleaseReason.NEEDS_CONTEXT, needs_context=tokens)
            case w.JobRejected():
                job.end = g.Rejected(code=event.code, param=event.param, message=event.message)
            case w.JobFailed(incompatible=True):
                job.end = g.Release(reason=g.ReleaseReason.INCOMPATIBLE)
            case w.JobFailed():
                job.end = g.Fault(kind=g.FaultKind.JOB, message=event.message)
            case w.Cancelled():
                job.yielding = job.yielding or g.ReleaseReason.YIELDED
                self._released(job)

    def _released(self, job: HeldJob) -> None:
        job.end = g.Release(reason=job.yielding or g.ReleaseReason.YIELDED)
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

    def _forget_old(self) -> None:
        horizon = self._clock.monotonic() - RATE_WINDOW_S
        while self._recent and self._recent[0][0] < horizon:
            self._recent.popleft()
