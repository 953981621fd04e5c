"""What the coordinator keeps: one frozen record for each table, the same for every store.

Texts and token ids appear here sealed (only the operator's key opens them) and become None when they are purged; counts
stay. Times are seconds since the epoch by the coordinator's clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from gogrid_desktop.core.lease import Job, JobState, Verdict
from gogrid_desktop.protocol.grid import JobKind, Priority, ShareWith, Work, work_of

Sealed = bytes


class Record:
    """Anything that a store keeps under a key."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class MetaRecord(Record):
    """The one row about the grid itself. `key_check` is a known word, sealed: it tells whether the key fits."""

    id: str
    swept_at: float | None
    key_check: Sealed


@dataclass(frozen=True, slots=True)
class AccountRecord(Record):
    """A submitter. `next_at`: where its next request begins in the order, so that nobody crowds out the others.

    `groups`: set by the operator; nodes may share with some groups alone.
    """

    id: str
    name: str
    max_priority: Priority
    next_at: float
    created_at: float
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApiKeyRecord(Record):
    id: str
    account: str
    hash: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None


@dataclass(frozen=True, slots=True)
class InviteRecord(Record):
    """`account`: whose own the nodes are that join by it."""

    id: str
    hash: str
    uses_left: int
    created_at: float
    expires_at: float
    account: str | None = None


@dataclass(frozen=True, slots=True)
class NodeRecord(Record):
    """A volunteer's machine, and what it offered in its last lease call. `account`: whose own it is, if anybody's.

    `last_seen`: its last call of any kind; `reported_at`: its last report; `offered_at`: when its offer last changed.
    """

    id: str
    token_hash: str
    name: str
    platform: str
    version: str
    created_at: float
    last_seen: float
    expires_at: float | None
    models: tuple[str, ...]
    kinds: tuple[JobKind, ...]
    context: int
    account: str | None = None
    work: tuple[Work, ...] = tuple(Work)
    share_with: ShareWith = ShareWith.EVERYONE
    groups: tuple[str, ...] = ()
    reported_at: float = 0.0
    offered_at: float = 0.0

    def takes(self, model: str, kind: JobKind, priority: Priority) -> bool:
        """Whether it takes such jobs at all, if not from everyone."""
        return model in self.models and kind in self.kinds and work_of(kind, priority) in self.work


@dataclass(frozen=True, slots=True)
class ModelRecord(Record):
    """A model of the catalogue; `shared`: nodes may fetch the file at `path`."""

    sha256: str
    id: str
    size_bytes: int
    context: int
    created: int
    path: str
    shared: bool


@dataclass(frozen=True, slots=True)
class RequestRecord(Record):
    """What a submitter sent. `body` is the sealed JSON of messages, prompt and parameters.

    A request whose reader is away for `reader_grace_s` is cancelled. `left`: how many of its jobs have not ended.
    """

    id: str
    account: str
    kind: JobKind
    model: str
    body: Sealed | None
    rendered_at: float
    priority: Priority
    created_at: float
    reader_at: float
    reader_grace_s: float
    idempotency_key: str | None
    body_hash: str
    ended_at: float | None
    left: int


@dataclass(frozen=True, slots=True)
class JobRecord(Record):
    """A job with what the scheduler needs of its request. `position`: which choice of the request it is.

    `refusal`: the sealed words of the node that rejected it.
    """

    job: Job
    request: str
    position: int
    account: str
    kind: JobKind
    model: str
    priority: Priority
    order_at: float
    refusal: Sealed | None = None

    @property
    def id(self) -> str:
        return self.job.id

    @property
    def state(self) -> JobState:
        return self.job.state

    @property
    def work(self) -> Work:
        """Which of a node's limits it counts under."""
        return work_of(self.kind, self.priority)

    @property
    def leased_to(self) -> str | None:
        """The node that has it now."""
        return self.job.lease.node if self.job.lease and self.state is JobState.LEASED else None


@dataclass(frozen=True, slots=True)
class ChunkRecord(Record):
    """One chunk that was taken: the ledger's row. `token_ids` and `text` are sealed, None once purged."""

    job: str
    tokens_before: int
    bytes_before: int
    fence: int
    node: str
    tokens: int
    bytes: int
    token_ids: Sealed | None
    text: Sealed | None


@dataclass(frozen=True, slots=True)
class VerdictRecord(Record):
    """How a lease ended by its node's own word, so that a repeat is answered as the first time."""

    lease: str
    node: str
    verdict: Verdict
    tokens: int
    bytes: int
    at: float
