"""The held jobs of one model as its worker runs them: what is started, what comes back, what a death means for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from gogrid_desktop.agent.clock import Clock
from gogrid_desktop.agent.outbox import HeldJob, Outbox
from gogrid_desktop.agent.supervisor import Death
from gogrid_desktop.agent.throttle import RequestThrottle
from gogrid_desktop.protocol import grid as g
from gogrid_desktop.worker import messages as w

#: Workers that may die with a job, from outside and without a new token, before the lease is given up.
MAX_DEATHS = 5
RATE_WINDOW_S = 5.0


class Runs:
    """`send` reaches the worker; `finished` is called when a job came to its natural end."""

    def __init__(
        self,
        sha256: str,
        outbox: Outbox,
        clock: Clock,
        throttle: RequestThrottle,
        send: Callable[[w.Frame], bool],
        finished: Callable[[], None],
    ) -> None:
        self.tokens = self.resumed = 0
        self._sha256, self._outbox, self._clock, self._finished = sha256, outbox, clock, finished
        self._throttle, self._send = throttle, send
        self._starting: dict[str, asyncio.Task[None]] = {}  # by lease, while they wait for their turn
        self._recent: deque[tuple[float, int]] = deque()

    @property
    def jobs(self) -> list[HeldJob]:
        """The held jobs of this model without an end, oldest first."""
        return [job for job in self._outbox.running if job.lease.job.model == self._sha256]

    @property
    def tokens_per_s(self) -> float:
        """Mean over the last seconds."""
        horizon = self._clock.monotonic() - RATE_WINDOW_S
        while self._recent and self._recent[0][0] < horizon:
            self._recent.popleft()
        return sum(count for _, count in self._recent) / RATE_WINDOW_S

    def start(self, job: HeldJob, pid: int | None) -> None:
        """Start or resume a job in worker `pid`, when it is its turn."""
        if _to_start(job) and job.lease.id not in self._starting:
            task = asyncio.create_task(self._start_in_turn(job, pid), name=f"start {job.lease.id}")
            self._starting[job.lease.id] = task
            task.add_done_callback(lambda _: self._starting.pop(job.lease.id, None))

    def stop(self, job: HeldJob) -> bool:
        """Have the worker stop a job; False where it does not run there. One that waits for its turn gives it back."""
        if (task := self._starting.get(job.lease.id)) is not None:
            task.cancel()
        return job.started_in is not None and self._send(w.Cancel(lease=job.lease.id))

    async def _start_in_turn(self, job: HeldJob, pid: int | None) -> None:
        await self._throttle.start()
        if _to_start(job):
            self.resumed += bool(job.token_ids)
            job.started_in = pid
            self._send(w.Start(lease=job.lease.id, fence=job.lease.fence, job=job.job_to_resume()))

    def heard(self, event: w.Event) -> None:
        """Take what the worker says of a job. Raises WorkerError when it does not follow on what is there."""
        job = self._outbox.jobs.get(getattr(event, "lease", ""))
        if job is None or job.end is not None or job.lease.job.model != self._sha256:
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
            case w.Finished():
                job.end = g.Complete(tokens=event.tokens, bytes=event.bytes, finish_reason=event.finish_reason)
                self._finished()
            case w.JobRejected(needs_context=int(tokens)):
                job.end = g.Release(reason=g.ReleaseReason.NEEDS_CONTEXT, needs_context=tokens)
            case w.JobRejected():
                job.end = g.Rejected(code=event.code, param=event.param, message=event.message)
            case w.JobFailed(incompatible=True):
                job.end = g.Release(reason=g.ReleaseReason.INCOMPATIBLE)
            case w.JobFailed():
                job.end = g.Fault(kind=g.FaultKind.JOB, message=event.message)
            case w.Cancelled() if job.yielding is not None:
                release(job)
            case w.Cancelled():
                job.started_in = None  # its model is being unloaded: it waits for the next worker

    def died(self, death: Death) -> None:
        """The worker is gone: its jobs wait for the next one, or end where they are suspects of it."""
        for task in self._starting.values():
            task.cancel()
        running = self.started
        for job in running:
            job.started_in = None
            job.deaths += death is not Death.ASKED
            if job.yielding is not None:
                release(job)
            elif death is Death.FAULT:
                kind = g.FaultKind.JOB if job.lease.alone or len(running) == 1 else g.FaultKind.SUSPECT
                job.end = g.Fault(kind=kind, message="The worker died while this job ran in it.")
            elif job.deaths >= MAX_DEATHS:
                job.end = g.Fault(kind=g.FaultKind.WORKER, message=f"The worker was ended {job.deaths} times.")

    def give_up(self, message: str) -> None:
        """End all jobs for a reason that suspects none of them."""
        for job in self.jobs:
            job.end = g.Fault(kind=g.FaultKind.WORKER, message=message)

    @property
    def started(self) -> list[HeldJob]:
        """Those that are in the worker."""
        return [job for job in self.jobs if job.started_in is not None]


def _to_start(job: HeldJob) -> bool:
    return job.yielding is None and job.end is None and job.started_in is None


def release(job: HeldJob) -> None:
    """End a job blamelessly, with the tokens so far."""
    job.end = g.Release(reason=job.yielding or g.ReleaseReason.YIELDED)
