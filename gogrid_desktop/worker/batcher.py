"""Continuous batching: every step decodes one token of each running job, and pieces of the prompts that are still read.

Knows neither ctypes nor threads: it drives an `Engine`, is told the time, and says what happened in frames. Which rows
a step has is decided in `_rows`, what happens when the cache is full in `_make_room`.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence

from gogrid_desktop.worker import messages as w
from gogrid_desktop.worker.cells import Cells
from gogrid_desktop.worker.cost import StepCost
from gogrid_desktop.worker.embedding import EmbeddingSequence
from gogrid_desktop.worker.engine import Decoded, Engine, Span
from gogrid_desktop.worker.limits import Pace
from gogrid_desktop.worker.sampling import BadLogits, SamplingRejected
from gogrid_desktop.worker.sequence import JobSequence

#: A job is admitted when its prompt fits and it, like every other, can grow by this many tokens.
GROWTH = 64
#: Pieces of a prompt end at multiples of it. All rows of a piece attend over the cells of its last one (in llama.cpp
#: rounded up to 256): with 517 rows in one piece reading takes 3 % longer than with 512 and 5.
PIECE_ROWS = 512
#: The same in `deterministic` mode.
FIXED_ROWS = 32

AnyJob = JobSequence | EmbeddingSequence


class Batcher:
    """`say` is given every frame, with the job that it is about; `clock` times the steps, in seconds.

    With `deterministic` a job runs alone, in an empty cache, in pieces that depend on nothing but its tokens: what it
    says is then equal to the bit, also when it was interrupted and went on elsewhere.
    """

    def __init__(
        self,
        engine: Engine,
        pace: Pace,
        say: Callable[[AnyJob, w.Frame | w.Emission], None],
        clock: Callable[[], float],
        *,
        deterministic: bool = False,
    ) -> None:
        self.steps = 0
        self.slots = 1 if deterministic else engine.slots
        self._engine, self._pace, self._say, self._clock = engine, pace, say, clock
        self._fixed = deterministic
        self._cells = Cells(engine)
        self._cells.keeps = not deterministic
        self._costs = {aside: StepCost(engine.longest_step_s) for aside in (False, True)}
        self._waiting: list[AnyJob] = []
        self._running: list[AnyJob] = []
        self._aside: JobSequence | None = None  # its prompt is read beside the steps
        self._embedded_last = False
        self._most_rows = engine.most_rows

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running)

    def __contains__(self, lease: str) -> bool:
        return any(job.lease == lease for job in self._jobs())

    def submit(self, job: AnyJob) -> None:
        """Take a job; it needs at most `total_context` cells. One that has its end already is finished at once."""
        if job.finish_reason is not None:
            self._finish(job)
        else:
            _insert(self._waiting, job)

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

    def room(self, slots: int, *, prefixes: bool) -> None:
        """Run at most so many jobs (the last ones wait again, with their tokens), and keep finished prefixes or not."""
        self.slots = min(slots, 1 if self._fixed else self._engine.slots)
        self._cells.keeps = prefixes and not self._fixed
        if not prefixes:
            self._cells.evict_all()
        while len(self._running) > self.slots:
            self._preempt(self._running[-1])

    def settle(self) -> None:
        """Leave nothing running beside the steps. After the next one something may run again."""
        if self._aside is not None:
            self._bring_back(self._aside)

    def spare_slot(self) -> int:
        """A sequence that nothing runs in and nothing is kept in."""
        return self._cells.spare()

    def wait_s(self, now_s: float) -> float | None:
        """How long to wait before the next `step`; None: until something changes."""
        if self._pace.stopped or not len(self) or (not self._running and self.slots < 1):
            return None
        at_s = self._pace.next_step_s if self._running else max(self._pace.next_step_s, self._pace.next_start_s)
        return max(0.0, at_s - now_s)

    def step(self, now_s: float) -> None:
        """Admit what may start, then decode once."""
        self._admit(now_s)
        batch = self._running[: self._pace.limits.batch]
        embedding = [job for job in batch if isinstance(job, EmbeddingSequence)]
        generating = [job for job in batch if isinstance(job, JobSequence)]
        # Both kinds take turns: their rows cannot be in one step.
        self._embedded_last = bool(embedding) and not (self._embedded_last and generating)
        if self._embedded_last:
            self._embed(embedding[0])
        elif generating:
            self._decode(self._rows(generating))

    def _jobs(self) -> list[AnyJob]:
        return [*self._running, *self._waiting]

    # --- who runs ----------------------------------------------------------------------------------------------------

    def _admit(self, now_s: float) -> None:
        most = min(self._pace.limits.batch, self.slots)
        while self._waiting and self._pace.next_start_s <= now_s:
            job = self._waiting[0]
            while not self._fits(job, self._running, most):
                weaker = [other for other in self._running if other.order[0] > job.order[0]]
                if not weaker or not self._fits(job, self._running[: -len(weaker)], most):
                    return
                self._preempt(weaker[-1])
            del self._waiting[0]
            job.slot, job.cached = self._cells.place(job)
            _insert(self._running, job)
            if not job.started:
                job.started = True
                self._pace.started(now_s)

    def _fits(self, job: AnyJob, beside: Sequence[AnyJob], most: int) -> bool:
        """Whether a job may run beside these. What prefixes hold does not count: they make room."""
        needed = sum(min(other.cells, len(other.tokens) + GROWTH) for other in (*beside, job))
        return len(beside) < most and (not beside or needed <= self._engine.total_context)

    def _preempt(self, job: AnyJob) -> None:
        """Let it wait again, with its tokens; what was computed stays as a prefix for as long as there is room."""
        if job is self._aside:
            self._bring_back(job)
        self._running.remove(job)
        self._cells.release(job.slot, keep=True)
        job.restart()
        _insert(self._waiting, job)

    # --- what a step has ---------------------------------------------------------------------------------------------

    def _rows(self, batch: Sequence[JobSequence]) -> dict[JobSequence, int]:
        """Rows of the step for each job: 1 where it generates; prompts share the rest, first come, first served."""
        if self._fixed:
            return {job: _fixed_rows(job) for job in batch}
        if self._aside is None and all(job.uncached == 1 for job in batch):
            return dict.fromkeys(batch, 1)
        waited_for = any(job.uncached == 1 and not job.in_company for job in batch)
        self._read_aside(batch if waited_for else ())
        counts = {job: 1 for job in batch if job.uncached == 1}
        room = self._cost().prompt_rows(len(counts), max(1, self._most_rows - len(counts)), waited_for=waited_for)
        left = room
        ahead: set[int] = set()
        for job in batch:
            waits = job.cached == 0 and self._cells.coming(job, ahead)  # somebody else is reading the same beginning
            ahead.add(job.slot)
            if job.uncached == 1 or left < 1 or waits or (self._aside is not None and self._is_long(job)):
                continue
            if job.cached == 0:
                self._place_again(job)
            piece = min(job.uncached, PIECE_ROWS - job.cached % PIECE_ROWS)
            if piece <= left or left == room:  # half a piece beside others costs more than it brings
                counts[job] = min(left, piece)
                left -= counts[job]
        return counts

    def _cost(self) -> StepCost:
        """While a prompt is read aside the steps have fewer threads."""
        return self._costs[self._aside is not None]

    def _read_aside(self, batch: Sequence[JobSequence]) -> None:
        """Have the first long prompt of these read beside the steps, and take back what was read of another one."""
        aside = self._engine.aside
        if aside is None:
            return
        if self._aside is not None and (aside.ended or self._aside is not self._first_long(batch)):
            self._bring_back(self._aside)
        first = self._first_long(batch)
        if self._aside is None and first is not None:
            if first.cached == 0:
                self._place_again(first)
            first.reused = first.cached if first.reused is None else first.reused
            self._aside = first
            aside.begin(first.slot, first.cached, first.tokens[first.cached : -1])

    def _first_long(self, batch: Sequence[JobSequence]) -> JobSequence | None:
        if self._pace.limits.compute_share < 1:
            return None  # what is read aside takes no rests
        return next((job for job in batch if self._is_long(job)), None)

    def _is_long(self, job: JobSequence) -> bool:
        aside = self._engine.aside
        return job is self._aside or (aside is not None and aside.worth(job.cached, job.uncached - 1))

    def _bring_back(self, job: JobSequence) -> None:
        """What was read of it aside counts from now on; the rest is read in the steps."""
        self._aside = None
        if self._engine.aside is not None:
            job.cached = self._engine.aside.end()
            self._say(job, w.Prefilled(lease=job.lease, tokens=job.cached))

    def _place_again(self, job: JobSequence) -> None:
        """What it waited for may be there by now."""
        self._cells.release(job.slot, keep=False)
        job.slot, job.cached = self._cells.place(job)

    def _decode(self, counts: Mapping[JobSequence, int]) -> None:
        spans = [
            Span(job.slot, job.cached, job.tokens[job.cached : job.cached + rows], rows == job.uncached)
            for job, rows in counts.items()
        ]
        generating = sum(job.uncached == 1 for job in counts)
        began_s = self._clock()
        outcome = self._engine.decode(spans)
        if outcome is Decoded.DONE:
            self.steps += 1
            self._most_rows = min(self._engine.most_rows, 2 * self._most_rows)
            self._cost().learn(generating, sum(counts.values()) - generating, self._clock() - began_s)
            index = 0
            for (job, rows), span in zip(counts.items(), spans, strict=True):
                self._advance(job, rows, index if span.ask else None)
                index += span.ask
            return
        for job in counts:
            job.cached = self._engine.forget(job.slot, job.cached)
        if outcome is Decoded.ABORTED:
            # Whoever stops steps again and again must not keep a long prompt from ever being read.
            self._most_rows = max(1, sum(counts.values()) // 2)
        elif outcome is Decoded.FULL:
            self._make_room(counts)
        elif outcome is Decoded.FAILED and len(counts) > 1:
            for job, rows in counts.items():
                self._decode({job: rows})
        elif outcome is Decoded.FAILED:
            self._fail(next(iter(counts)), "The model could not decode it.")

    def _make_room(self, counts: Mapping[JobSequence, int]) -> None:
        """The cache is full: give up a prefix, else the job that matters least, else halve the step."""
        if self._cells.evict():
            return
        if len(self._running) > 1:
            self._preempt(self._running[-1])
            return
        job, rows = next(iter(counts.items()))
        if rows > 1 and not self._fixed:
            self._decode({job: rows // 2})
        else:
            self._fail(job, "The model's cache has no room for it.")

    def _advance(self, job: JobSequence, rows: int, index: int | None) -> None:
        prefilling = job.uncached > 1
        job.reused = job.cached if job.reused is None else job.reused
        job.cached += rows
        if prefilling:
            self._say(job, w.Prefilled(lease=job.lease, tokens=job.cached))
        if index is None:
            return
        if job.company is None:
            job.company = [each for each in self._running if isinstance(each, JobSequence) and each.reads_before(job)]
        try:
            job.advance(self._engine.logits(index))
        except BadLogits as error:
            self._fail(job, f"The model gave no usable {error}.")
        except SamplingRejected as error:
            self._remove(job)
            self._say(job, w.JobRejected(lease=job.lease, code=error.code, param=error.param, message=error.message))
        else:
            if job.finish_reason is not None:
                self._finish(job)
            else:
                self._emit(job)

    def _embed(self, job: EmbeddingSequence) -> None:
        rows = job.uncached if self._engine.pools else min(job.uncached, self._engine.embed_rows)
        outcome, vector = self._engine.embed(Span(job.slot, job.cached, job.tokens[job.cached :][:rows], True))
        if outcome is Decoded.DONE and vector is not None:
            self.steps += 1
            try:
                job.add(rows, vector)
            except ValueError as error:
                self._fail(job, f"The model gave no usable embedding: {error}.")
                return
            if job.finish_reason is not None:
                self._finish(job)
            return
        if self._engine.forget(job.slot, job.cached) != job.cached:
            job.restart()
        if outcome is Decoded.FAILED or (outcome is Decoded.FULL and not self._cells.evict()):
            self._fail(job, "The model could not embed it.")

    # --- what is said ------------------------------------------------------------------------------------------------

    def _emit(self, job: AnyJob) -> None:
        emission = job.take_emission()
        if emission is not None:
            self._say(job, emission)

    def _finish(self, job: AnyJob) -> None:
        if job.finish_reason is None:
            raise ValueError(f"job {job.job} has no end")
        self._emit(job)
        self._remove(job)
        tokens, size = job.totals
        finished = w.Finished(
            lease=job.lease, tokens=tokens, bytes=size, finish_reason=job.finish_reason, reused=job.reused or 0
        )
        self._say(job, finished)

    def _fail(self, job: AnyJob, message: str) -> None:
        self._remove(job, keep=False)
        self._say(job, w.JobFailed(lease=job.lease, message=message))

    def _remove(self, job: AnyJob, *, keep: bool = True) -> None:
        if job is self._aside:
            self._bring_back(job)
        if job in self._running:
            self._running.remove(job)
            self._cells.release(job.slot, keep=keep)
            job.slot = -1
        elif job in self._waiting:
            self._waiting.remove(job)
        job.close()


def _insert(jobs: list[AnyJob], job: AnyJob) -> None:
    bisect.insort(jobs, job, key=lambda each: each.order)


def _fixed_rows(job: JobSequence) -> int:
    """Up to the next multiple of `FIXED_ROWS` in the prompt, then one at a time, also where tokens are replayed."""
    if job.cached >= job.prompt_tokens:
        return 1
    return min(FIXED_ROWS - job.cached % FIXED_ROWS, job.prompt_tokens - job.cached)
