"""The life of a job as a pure state machine: what a grant, a report, a silence or a cancellation makes of it.

Every rule of the grid protocol that decides about a job's fate is here, so that any store may keep jobs and any clock
may tell the time. A function takes a `Job` and returns the next one; nothing here reads a clock, draws a number or does
I/O. Counts only: what the tokens say is none of this module's business. Times are seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

#: Leases in a row that ended by expiry or fault without one new token; so many and the job has failed.
MAX_ATTEMPTS = 3
#: Leases without a token, for whatever reason: in a row, and in all.
MAX_BARREN_IN_A_ROW = 10
MAX_BARREN = 100
#: Distinct nodes on which a job failed by itself; so many and it is poison.
POISON_NODES = 2
BACKOFF_MIN_S = 1.0
BACKOFF_MAX_S = 300.0
#: Tokens in a row without a byte of text that a model may make (a stop string's bytes may be held back on top).
MAX_DRY_TOKENS = 16
#: A tokenised prompt has at most its bytes and this many tokens (template and special tokens).
PROMPT_SLACK_TOKENS = 64


class JobState(StrEnum):
    """States of a job; the last four are ends."""

    QUEUED = "queued"
    LEASED = "leased"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        return self not in (JobState.QUEUED, JobState.LEASED)


class Verdict(StrEnum):
    RENEWED = "renewed"
    LOST = "lost"
    CANCELLED = "cancelled"
    DONE = "done"  # this end was taken, now or the first time it was sent


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"


class ReleaseReason(StrEnum):
    YIELDED = "yielded"
    DRAINED = "drained"
    SHUTDOWN = "shutdown"
    NEEDS_CONTEXT = "needs_context"
    INCOMPATIBLE = "incompatible"


class FaultKind(StrEnum):
    JOB = "job"  # this job failed by itself (alone in the worker, or a step failed for it alone)
    WORKER = "worker"  # the worker failed for a reason that suspects nobody
    SUSPECT = "suspect"  # the worker died of a fault of its own (SIGSEGV, SIGABRT, hang) while this job ran in it


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job ended without completing: `code` and `param` as in OpenAI's error object, `status` of HTTP."""

    status: int
    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The newest lease of a job. `poll` granted it; `tokens_at_grant` tells whether a token came since."""

    id: str
    node: str
    poll: str
    granted_at: float
    tokens_at_grant: int
    alone: bool


@dataclass(frozen=True, slots=True)
class Job:
    """One choice of a request.

    `lease` outlives an expiry, so that a late report with the newest fence can take the job back; it is None once the
    node itself has ended it. `not_before`: backed off until then. `avoid`: nodes to pass over while others could serve;
    `faulted`: nodes on which it failed by itself; `suspect`: lease it alone.
    """

    id: str
    deadline: float
    max_tokens: int
    prompt_bytes: int
    dry_limit: int = MAX_DRY_TOKENS
    state: JobState = JobState.QUEUED
    fence: int = 0
    lease: Lease | None = None
    tokens: int = 0
    bytes: int = 0
    dry_tokens: int = 0
    prompt_tokens: int | None = None
    prompt_hash: str | None = None
    attempts: int = 0
    barren_in_a_row: int = 0
    barren: int = 0
    not_before: float = 0.0
    suspect: bool = False
    needs_context: int = 0
    avoid: tuple[str, ...] = ()
    faulted: tuple[str, ...] = ()
    finish: FinishReason | None = None
    error: JobError | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Size and place of a chunk; `index` finds its content again."""

    index: int
    tokens_before: int
    bytes_before: int
    tokens: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Completed:
    tokens: int
    bytes: int
    finish: FinishReason


@dataclass(frozen=True, slots=True)
class Released:
    reason: ReleaseReason
    needs_context: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Faulted:
    kind: FaultKind


@dataclass(frozen=True, slots=True)
class Said:
    """What a node says of one lease: who says it, and in this order the prompt's size, chunks, and an end."""

    node: str
    lease: str
    fence: int
    prompt_tokens: int | None = None
    prompt_hash: str | None = None
    chunks: tuple[Chunk, ...] = ()
    end: Completed | Released | Rejected | Faulted | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of it. `taken`: the chunks that count now. `remember`: keep the verdict for repeats of this end."""

    job: Job
    verdict: Verdict
    taken: tuple[Chunk, ...] = ()
    remember: bool = False


def grant(job: Job, node: str, poll: str, now: float) -> Job:
    """Lease a queued job to a node under the next fence."""
    fence = job.fence + 1
    lease = Lease(lease_id(job.id, fence), node, poll, now, job.tokens, job.suspect)
    return replace(job, state=JobState.LEASED, fence=fence, lease=lease)


def lease_id(job_id: str, fence: int) -> str:
    """The id of the lease of a job under a fence."""
    return f"{job_id}.{fence}"


def job_of(lease_id: str) -> str:
    """The id of the job that a lease id belongs to."""
    return lease_id.rpartition(".")[0]


def poll_before(poll: str, other: str) -> bool:
    """Whether a node's lease call came before another one: polls are `start.number`, the number grows with each call.

    Of two starts of a node the one that is not the other's is over. A node that has no call open has closed them all.
    """
    start, _, number = poll.rpartition(".")
    other_start, _, other_number = other.rpartition(".")
    if start == other_start and number.isdecimal() and other_number.isdecimal():
        return int(number) < int(other_number)
    return poll != other


def hear(job: Job, said: Said, now: float, jitter: float) -> Heard:
    """Judge what a node says of a lease. `jitter` is a draw from 0..1.

    A chunk is taken iff both of its counters equal what the job has. An end is taken only when nothing is missing
    before it: no chunk of this report reaches beyond what the job has by then, and a completion's totals equal it.
    """
    lease = job.lease
    if lease is None or (lease.id, lease.node, job.fence) != (said.lease, said.node, said.fence):
        return Heard(job, Verdict.LOST)
    if job.state in (JobState.CANCELLED, JobState.EXPIRED):
        return Heard(job, Verdict.CANCELLED)
    if job.state.ended:
        return Heard(job, Verdict.LOST)
    job = replace(job, state=JobState.LEASED, not_before=0.0)
    if said.prompt_hash is not None and said.prompt_tokens is not None:
        if said.prompt_tokens > job.prompt_bytes + PROMPT_SLACK_TOKENS:
            return Heard(_end_by_fault(job, lease, FaultKind.JOB, now, jitter), Verdict.LOST)
        if job.tokens and job.prompt_hash not in (None, said.prompt_hash):
            return Heard(_release(job, lease, Released(ReleaseReason.INCOMPATIBLE), now, jitter), Verdict.LOST)
        if not job.tokens:
            job = replace(job, prompt_tokens=said.prompt_tokens, prompt_hash=said.prompt_hash)
    taken: list[Chunk] = []
    for chunk in said.chunks:
        if (chunk.tokens_before, chunk.bytes_before) != (job.tokens, job.bytes) or not (chunk.tokens or chunk.bytes):
            continue
        dry = 0 if chunk.bytes else job.dry_tokens + chunk.tokens
        if dry > job.dry_limit or job.tokens + chunk.tokens > job.max_tokens:
            return Heard(_end_by_fault(job, lease, FaultKind.JOB, now, jitter), Verdict.LOST, tuple(taken))
        job = replace(job, tokens=job.tokens + chunk.tokens, bytes=job.bytes + chunk.bytes, dry_tokens=dry)
        if chunk.tokens:
            job = replace(job, attempts=0, barren_in_a_row=0, suspect=False, avoid=())
        taken.append(chunk)
    if said.end is None or any(_beyond(chunk, job) for chunk in said.chunks):
        return Heard(job, Verdict.RENEWED, tuple(taken))
    match said.end:
        case Completed(tokens, size, finish):
            if (tokens, size) != (job.tokens, job.bytes):
                return Heard(job, Verdict.RENEWED, tuple(taken))
            job = replace(job, state=JobState.COMPLETED, finish=finish, lease=None)
        case Released() as released:
            job = _release(job, lease, released, now, jitter)
        case Rejected(code, message, param):
            job = _fail(job, JobError(400, code, message, param))
        case Faulted(kind):
            job = _end_by_fault(job, lease, kind, now, jitter)
    return Heard(job, Verdict.DONE, tuple(taken), remember=True)


def expire(job: Job, now: float, jitter: float) -> Job:
    """The node fell silent, or no longer holds the lease. A late report may still take the job back."""
    if job.state is not JobState.LEASED or job.lease is None:
        return job
    return _requeue(job, job.lease, now, jitter, attempt=True, avoid=job.lease.node)


def unarrived(job: Job) -> Job:
    """The answer with the lease never reached its node: at once back into the queue, blameless."""
    if job.state is not JobState.LEASED:
        return job
    job = replace(job, state=JobState.QUEUED, not_before=0.0, barren=job.barren + 1)
    return _dead_letter(job) if job.barren >= MAX_BARREN else job


def cancel(job: Job) -> Job:
    """Nobody wants the answer any more."""
    return job if job.state.ended else replace(job, state=JobState.CANCELLED)


def pass_deadline(job: Job) -> Job:
    """The deadline has passed."""
    if job.state.ended:
        return job
    error = JobError(504, "deadline_exceeded", "The deadline passed before the answer was complete.")
    return replace(job, state=JobState.EXPIRED, error=error)


def shift(job: Job, gap_s: float) -> Job:
    """Move every time of an unfinished job: the coordinator was away for so long, or its clock was set."""
    if job.state.ended:
        return job
    lease = job.lease and replace(job.lease, granted_at=job.lease.granted_at + gap_s)
    not_before = job.not_before + gap_s if job.not_before else 0.0
    return replace(job, deadline=job.deadline + gap_s, not_before=not_before, lease=lease)


def _beyond(chunk: Chunk, job: Job) -> bool:
    return chunk.tokens_before + chunk.tokens > job.tokens or chunk.bytes_before + chunk.bytes > job.bytes


def _release(job: Job, lease: Lease, released: Released, now: float, jitter: float) -> Job:
    avoid = lease.node if released.reason is ReleaseReason.INCOMPATIBLE else None
    job = replace(job, needs_context=max(job.needs_context, released.needs_context or 0))
    return replace(_requeue(job, lease, now, jitter, attempt=False, avoid=avoid), lease=None)


def _end_by_fault(job: Job, lease: Lease, kind: FaultKind, now: float, jitter: float) -> Job:
    if kind is FaultKind.SUSPECT and not lease.alone:
        job = _requeue(replace(job, suspect=True), lease, now, jitter, attempt=False, avoid=None)
        return replace(job, lease=None)
    if kind is not FaultKind.WORKER:
        job = replace(job, faulted=tuple(sorted({*job.faulted, lease.node})))
        if len(job.faulted) >= POISON_NODES:
            return _fail(job, JobError(500, "job_failed", "The job failed by itself on two machines."))
    return replace(_requeue(job, lease, now, jitter, attempt=True, avoid=lease.node), lease=None)


def _requeue(job: Job, lease: Lease, now: float, jitter: float, *, attempt: bool, avoid: str | None) -> Job:
    """Queue the job again; a lease without a token costs a pause, and an attempt where somebody is to blame."""
    avoided = job.avoid if avoid is None else tuple(sorted({*job.avoid, avoid}))
    job = replace(job, state=JobState.QUEUED, avoid=avoided)
    if job.tokens > lease.tokens_at_grant:
        return replace(job, not_before=now)
    job = replace(
        job,
        attempts=job.attempts + attempt,
        barren_in_a_row=job.barren_in_a_row + 1,
        barren=job.barren + 1,
        not_before=now + backoff_s(job.barren_in_a_row, jitter),
    )
    if job.attempts >= MAX_ATTEMPTS:
        return _fail(job, JobError(503, "attempts_exhausted", f"{MAX_ATTEMPTS} machines in a row gave no token."))
    if job.barren_in_a_row >= MAX_BARREN_IN_A_ROW or job.barren >= MAX_BARREN:
        return _dead_letter(job)
    return job


def backoff_s(barren_in_a_row: int, jitter: float) -> float:
    """Pause after one more lease without a token: full jitter between 1 s and a ceiling that doubles, up to 5 min."""
    ceiling = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2.0 ** min(barren_in_a_row, 16))
    return BACKOFF_MIN_S + jitter * (ceiling - BACKOFF_MIN_S)


def _dead_letter(job: Job) -> Job:
    return _fail(job, JobError(503, "dead_letter", f"{job.barren} leases of this job ended without a token."))


def _fail(job: Job, error: JobError) -> Job:
    return replace(job, state=JobState.FAILED, error=error, lease=None)
