"""Continuous batching: every step decodes one token of each running job, and pieces of the prompts that are still read.

Knows neither ctypes nor threads nor a clock: it drives an `Engine`, is told the time, and says what happened in frames.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Protocol

from gogrid_desktop.protocol.grid import Priority
from gogrid_desktop.worker import messages as w
from gogrid_desktop.worker.limits import Pace
from gogrid_desktop.worker.sampling import BadLogits, Logits, draw
from gogrid_desktop.worker.sequence import JobSequence

#: Prompt tokens in one step: beside jobs that generate (they wait for this step), and when there are none. More gain
#: nothing on a processor, and a step must stay short enough to be told from a hang, with a large model too.
PREFILL_ROWS_SHARED = 32
PREFILL_ROWS_ALONE = 64

_RANK = {priority: rank for rank, priority in enumerate(Priority)}


class Decoded(Enum):
    DONE = "done"
    ABORTED = "aborted"  # stopped on request; nothing of the step counts
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Row:
    """One token of a step. `logits`: the logits after it are wanted."""

    token: int
    position: int
    slot: int
    logits: bool


class Engine(Protocol):
    """A model with a KV cache of `total_context` cells, shared by sequences numbered 0..`slots` - 1."""

    slots: int
    total_context: int

    def decode(self, rows: Sequence[Row]) -> Decoded: ...

    def logits(self, row: int) -> Logits:
        """After the `row`th row of the last decode, shape (vocabulary,); valid until the next decode."""

    def forget(self, slot: int, position: int) -> None:
        """Drop what the cache holds of this sequence from `position` on."""

    def ends(self, token: int) -> bool:
        """Whether the token ends the generation."""


class Batcher:
    """`say` is given every frame, with the job that it is about."""

    def __init__(self, engine: Engine, pace: Pace, say: Callable[[JobSequence, w.Frame], None]) -> None:
        self.steps = 0
        self._engine = engine
        self._pace = pace
        self._say = say
        self._waiting: list[tuple[int, int, JobSequence]] = []
        self._running: list[JobSequence] = []
        self._arrivals = count()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running)

    def __contains__(self, lease: str) -> bool:
        return any(job.lease == lease for job in self._jobs())

    def submit(self, job: JobSequence, priority: Priority) -> None:
        """Take a job; it needs at most `total_context` cells. One that has its end already is finished at once."""
        if job.finish_reason is not None:
            self._finish(job)
        else:
            bisect.insort(self._waiting, (_RANK[priority], next(self._arrivals), job), key=lambda entry: entry[:2])

    def cancel(self, lease: str) -> None:
        """Let a job go, if it is here."""
        for job in self._jobs():
            if job.lease == lease:
                self._remove(job)

    def cancel_all(self) -> list[str]:
        """Let all jobs go; returns their leases."""
        jobs = self._jobs()
        for job in jobs:
            self._remove(job)
        return [job.lease for job in jobs]

    def wait_s(self, now_s: float) -> float | None:
        """How long to wait before the next `step`; None: until something changes."""
        if self._pace.stopped or not len(self):
            return None
        at_s = self._pace.next_step_s if self._running else max(self._pace.next_step_s, self._pace.next_start_s)
        return max(0.0, at_s - now_s)

    def step(self, now_s: float) -> None:
        """Admit what may start, then decode once."""
        self._admit(now_s)
        batch = self._running[: self._pace.limits.batch]
        if batch:
            self._decode(batch)

    def _jobs(self) -> list[JobSequence]:
        return [*self._running, *(job for _, _, job in self._waiting)]

    def _admit(self, now_s: float) -> None:
        reserved = sum(job.cells for job in self._running)
        most = min(self._pace.limits.batch, self._engine.slots)
        while self._waiting and len(self._running) < most and self._pace.next_start_s <= now_s:
            job = self._waiting[0][2]
            reserved += job.cells
            if reserved > self._engine.total_context:
                return
            del self._waiting[0]
            job.slot = min(set(range(self._engine.slots)) - {other.slot for other in self._running})
            self._running.append(job)
            self._pace.started(now_s)

    def _decode(self, batch: Sequence[JobSequence]) -> None:
        counts = _share_rows(batch)
        rows: list[Row] = []
        last_row: dict[JobSequence, int] = {}
        for job, rows_of_job in counts.items():
            rows.extend(
                Row(job.tokens[position], position, job.slot, position + 1 == len(job.tokens))
                for position in range(job.cached, job.cached + rows_of_job)
            )
            last_row[job] = len(rows) - 1
        outcome = self._engine.decode(rows)
        if outcome is Decoded.DONE:
            self.steps += 1
            for job, rows_of_job in counts.items():
                self._advance(job, rows_of_job, last_row[job])
            return
        for job in counts:
            self._engine.forget(job.slot, job.cached)
        if outcome is Decoded.FAILED:
            if len(counts) > 1:
                for job in counts:
                    self._decode([job])
            else:
                self._fail(next(iter(counts)), "The model could not decode it.")

    def _advance(self, job: JobSequence, rows: int, last_row: int) -> None:
        prefilling = job.uncached > 1
        job.cached += rows
        if prefilling:
            self._say(job, w.Prefilled(lease=job.lease, tokens=job.cached))
        if job.uncached:
            return
        try:
            token = draw(self._engine.logits(last_row), job.params, job.generated)
        except BadLogits as error:
            self._fail(job, f"The model gave no usable {error}.")
            return
        if self._engine.ends(token):
            job.end_of_generation()
        else:
            job.accept(token)
        if job.finish_reason is not None:
            self._finish(job)
        else:
            self._emit(job)

    def _emit(self, job: JobSequence) -> None:
        chunk = job.take_chunk()
        if chunk is not None:
            self._say(job, w.Emitted(lease=job.lease, chunk=chunk))

    def _finish(self, job: JobSequence) -> None:
        if job.finish_reason is None:
            raise ValueError(f"job {job.job} has no end")
        self._emit(job)
        self._remove(job)
        tokens, size = job.totals
        self._say(job, w.Finished(lease=job.lease, tokens=tokens, bytes=size, finish_reason=job.finish_reason))

    def _fail(self, job: JobSequence, message: str) -> None:
        self._remove(job)
        self._say(job, w.JobFailed(lease=job.lease, message=message))

    def _remove(self, job: JobSequence) -> None:
        if job in self._running:
            self._running.remove(job)
            self._engine.forget(job.slot, 0)
        else:
            self._waiting = [entry for entry in self._waiting if entry[2] is not job]


def _share_rows(batch: Sequence[JobSequence]) -> dict[JobSequence, int]:
    """How many rows of the step each job gets: 1 where it generates; prompts share the rest in order of arrival."""
    generating = any(job.uncached == 1 for job in batch)
    left = PREFILL_ROWS_SHARED if generating else PREFILL_ROWS_ALONE
    counts: dict[JobSequence, int] = {}
    for job in batch:
        rows = 1 if job.uncached == 1 else min(left, job.uncached)
        if job.uncached > 1:
            left -= rows
        if rows:
            counts[job] = rows
    return counts
