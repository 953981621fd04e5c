"""What a store must do. Three do it, in memory for tests, on SQLite, on PostgreSQL, and pass the same contract tests.

A transaction is a plain function over a `Tx`: it reads and puts records, and either all of it happened or nothing.
Rules stay in `core`; a store only finds and keeps.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gogrid_desktop.coordinator.store.records import ChunkRecord, JobRecord, NodeRecord, Record, RequestRecord
from gogrid_desktop.coordinator.store.unsaid import Unsaid
from gogrid_desktop.protocol.grid import Priority

#: The first page of a queue.
PAGE = 32

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class Tx(Protocol):
    """One transaction. Raises errors.StorageFull where the disk is full."""

    def find(self, kind: type[R], **equal: str | Collection[str]) -> list[R]:
        """All records whose fields equal the given values (or one of them, where a collection is given)."""
        ...

    def one(self, kind: type[R], **equal: str) -> R | None:
        """The record whose fields equal the given values; None if there is none."""
        ...

    def put(self, *records: Record) -> None:
        """Insert, or replace what has the same key."""
        ...

    def queued(
        self,
        model: str,
        now: float,
        accounts: Collection[str] | None = None,
        priority: Priority | None = None,
        page: int = PAGE,
    ) -> Generator[JobRecord, None, None]:
        """Queued jobs of a model that are not backed off, by `(order_at, id)`, read in growing pages as they are taken.

        Only those of some accounts, or of one priority, where given. In a transaction that writes, what is read stays
        for it alone until its end, and what another one has taken so is left out.
        """
        ...

    def leased(self) -> list[JobRecord]:
        """All jobs that a node has now."""
        ...

    def waiting(self, accounts: Collection[str] | None = None) -> dict[str, int]:
        """How many jobs are queued by model; only those of some accounts where given."""
        ...

    def newest(self, limit: int) -> list[JobRecord]:
        """The last jobs of the order, last first."""
        ...

    def silent(self, before: float) -> list[JobRecord]:
        """Leased jobs whose node has not reported since then, nor was given the lease since then."""
        ...

    def load(self, nodes: Collection[str]) -> dict[str, tuple[int, bool]]:
        """Of these nodes those that have leases: how many, and whether one of them must run alone."""
        ...

    def seen(self, since: float) -> dict[str, float]:
        """Nodes that called since then, and when they last did."""
        ...

    def offered(self, since: float) -> list[NodeRecord]:
        """Nodes whose offer changed since then."""
        ...

    def overdue(self, now: float) -> list[JobRecord]:
        """Unfinished jobs whose deadline has passed."""
        ...

    def unread(self, now: float) -> list[RequestRecord]:
        """Unfinished requests whose reader has been away for longer than their grace."""
        ...

    def chunks(self, job: str, after_bytes: int = -1) -> list[ChunkRecord]:
        """The ledger of a job in order; only what reaches beyond `after_bytes`."""
        ...

    def touch(self, unsaid: Unsaid, now: float) -> None:
        """Set `last_seen` and `reported_at` of nodes and `reader_at` of requests; move `next_at` of accounts on."""
        ...

    def leads(self, now: float) -> dict[str, float]:
        """`next_at` of all accounts where it is later than now."""
        ...

    def shift(self, gap_s: float) -> None:
        """Move what is remembered of nodes and of readers by a gap."""
        ...

    def purge(self, ended_before: float, verdicts_before: float) -> None:
        """Drop texts and ids of requests that ended before, free their idempotency keys, and forget old verdicts."""
        ...

    def counts(self) -> dict[tuple[str, str], int]:
        """How many jobs there are by (model, state)."""
        ...


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a work will ask for: the records of a kind whose field has one of these values."""

    kind: type[Record]
    field: str
    values: Collection[str]


class Store(Protocol):
    """Runs transactions: plain functions that may be run again when one was undone, hence do nothing but ask and put.

    Several may share one commit, and what they say that they need (`ahead`) is read for all of them at once; each is as
    if it were alone. `read` sees what was committed and may put nothing.

    Several processes may use one database: `tell` tells all others a few words, after what they are about was committed
    here; `told` gives what others tell. Words may be lost; "" says that some may have been. Raises errors.StorageError.
    """

    async def write(self, work: Callable[[Tx], T], *ahead: Ahead) -> T: ...

    async def read(self, work: Callable[[Tx], T], *ahead: Ahead) -> T: ...

    async def tell(self, words: str) -> None: ...

    def told(self) -> AsyncGenerator[str, None]: ...

    def clock(self) -> float:
        """The database's time: seconds since the epoch."""
        ...

    async def close(self) -> None: ...
