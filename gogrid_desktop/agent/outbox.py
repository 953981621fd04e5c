"""The jobs that this node holds, with everything the coordinator has not yet acknowledged. In memory only.

Bounded by construction: at most as many jobs as there are slots, each at most as long as its context. Nothing is thrown
away before the lease ends, so that a verdict which knows less than an earlier one can still be answered.
"""

from __future__ import annotations

from gogrid_desktop.errors import WorkerError
from gogrid_desktop.protocol.grid import (
    Chunk,
    End,
    Have,
    Job,
    Lease,
    LeaseReport,
    LeaseVerdict,
    NodeState,
    PromptFacts,
    ReleaseReason,
    Report,
    Verdict,
)


class HeldJob:
    """One leased job: what the worker made of it and what the coordinator has."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.have = lease.job.have
        self.token_ids = list(lease.job.token_ids)
        self.end: End | None = None
        self.yielding: ReleaseReason | None = None
        self.started_in: int | None = None  # pid of the worker that runs it
        self.deaths = 0  # workers that died with it since its last new token
        self._granted = lease.job.have
        self._text = bytearray()  # from `_granted.bytes` on
        self._prompt: PromptFacts | None = None
        self._prompt_told = False
        self._prefilled = 0
        self._prefilled_told = 0

    @property
    def made(self) -> Have:
        """How far the worker is."""
        return Have(tokens=len(self.token_ids), bytes=self._granted.bytes + len(self._text))

    def emitted(self, chunk: Chunk) -> None:
        """Take a chunk of the worker. Raises WorkerError when it does not follow on what is there."""
        if (chunk.tokens_before, chunk.bytes_before) != (self.made.tokens, self.made.bytes):
            raise WorkerError(
                f"The worker went on from {chunk.tokens_before} tokens, {chunk.bytes_before} bytes, "
                f"but {self.made.tokens}, {self.made.bytes} are there."
            )
        self.token_ids.extend(chunk.token_ids)
        self._text += chunk.text.encode()
        self.deaths = 0

    def prompted(self, facts: PromptFacts) -> None:
        self._prompt_told = self._prompt_told and facts == self._prompt
        self._prompt = facts

    def prefilled(self, tokens: int) -> None:
        self._prefilled = max(self._prefilled, tokens)

    def job_to_resume(self) -> Job:
        """The job as a worker must be given it now: with all tokens so far."""
        update: dict[str, object] = {"token_ids": tuple(self.token_ids), "have": self.made}
        if self._prompt is not None:
            update |= {"prompt_tokens": self._prompt.tokens, "prompt_hash": self._prompt.hash}
        return self.lease.job.model_copy(update=update)

    @property
    def has_news(self) -> bool:
        """Whether there is something that the coordinator does not know."""
        facts = self._prefilled > self._prefilled_told or (self._prompt is not None and not self._prompt_told)
        return facts or self.end is not None or self.have != self.made

    def report(self) -> LeaseReport | None:
        """What the coordinator does not know yet; None when there is nothing."""
        if not self.has_news:
            return None
        chunks: tuple[Chunk, ...] = ()
        if self.have != self.made:
            text = self._text[self.have.bytes - self._granted.bytes :].decode()
            ids = tuple(self.token_ids[self.have.tokens :])
            chunks = (Chunk(tokens_before=self.have.tokens, bytes_before=self.have.bytes, token_ids=ids, text=text),)
        return LeaseReport(
            lease=self.lease.id,
            fence=self.lease.fence,
            prompt=self._prompt,
            prefilled=self._prefilled,
            chunks=chunks,
            end=self.end,
        )

    def told(self, report: LeaseReport, have: Have) -> bool:
        """The coordinator answered `report`; it now has `have`. False when we cannot go on from there."""
        self._prompt_told = self._prompt_told or report.prompt is not None
        self._prefilled_told = max(self._prefilled_told, report.prefilled)
        return self.acknowledged(have)

    def acknowledged(self, have: Have) -> bool:
        """Go on from what the coordinator has; False when that is outside of what is kept here."""
        if not (self._granted.tokens <= have.tokens <= self.made.tokens):
            return False
        if not (self._granted.bytes <= have.bytes <= self.made.bytes):
            return False
        self.have = have
        return True


class Outbox:
    """All held jobs by lease id, oldest first."""

    def __init__(self) -> None:
        self.jobs: dict[str, HeldJob] = {}

    def add(self, lease: Lease) -> HeldJob:
        job = self.jobs[lease.id] = HeldJob(lease)
        return job

    @property
    def running(self) -> list[HeldJob]:
        """Jobs without an end, oldest first."""
        return [job for job in self.jobs.values() if job.end is None]

    def report(self, poll: str, state: NodeState) -> Report:
        """Everything there is to say in one batch."""
        parts = tuple(part for job in self.jobs.values() if (part := job.report()) is not None)
        return Report(poll=poll, held=tuple(self.jobs), state=state, leases=parts)

    def settle(self, sent: Report, verdicts: tuple[LeaseVerdict, ...]) -> tuple[list[HeldJob], list[HeldJob]]:
        """Apply the answer to `sent`: returns (jobs whose end was taken, jobs that are ours no more)."""
        told = {part.lease: part for part in sent.leases}
        done: list[HeldJob] = []
        lost: list[HeldJob] = []
        for verdict in verdicts:
            job = self.jobs.get(verdict.lease)
            if job is None:
                continue
            if verdict.verdict is Verdict.RENEWED:
                part = told.get(verdict.lease)
                known = job.told(part, verdict.have) if part else job.acknowledged(verdict.have)
                if known:
                    continue
            del self.jobs[verdict.lease]
            (done if verdict.verdict is Verdict.DONE else lost).append(job)
        return done, lost
