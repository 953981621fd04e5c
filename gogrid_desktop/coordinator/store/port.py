"""What a store must do. Two do it: one in memory for tests, one on SQLite; both pass the same contract tests.

A transaction is a plain function over a `Tx`: it reads and puts records, and either all of it happened or nothing.
Rules stay in `core`; a store only finds and keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping
from typing import Protocol, TypeVar

from gogrid_desktop.coordinator.store.records import ChunkRecord, JobRecord, Record, RequestRecord
from gogrid_desktop.protocol.grid import Priority

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
        self, model: str, now: float, accounts: Collection[str] | None = None, priority: Priority | None = None
    ) -> Generator[JobRecord, None, None]:
        """Queued jobs of a model that are not backed off, by `(order_at, id)`. Read lazily: put nothing meanwhile.

        Only those of some accounts, or of one priority, where given.
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

    def overdue(self, now: float) -> list[JobRecord]:
        """Unfinished jobs whose deadline has passed."""
        ...

    def unread(self, now: float) -> list[RequestRecord]:
        """Unfinished requests whose reader has been away for longer than their grace."""
        ...

    def chunks(self, job: str, after_bytes: int = -1) -> list[ChunkRecord]:
        """The ledger of a job in order; only what reaches beyond `after_bytes`."""
        ...

    def touch(self, nodes: Mapping[str, float], readers: Mapping[str, float]) -> None:
        """Set `last_seen` of nodes and `reader_at` of requests."""
        ...

    def purge(self, ended_before: float, verdicts_before: float) -> None:
        """Drop texts and ids of requests that ended before, free their idempotency keys, and forget old verdicts."""
        ...

    def counts(self) -> dict[tuple[str, str], int]:
        """How many jobs there are by (model, state)."""
        ...


class Store(Protocol):
    """Runs transactions. `write` runs one at a time; `read` sees what was committed and may put nothing."""

    async def write(self, work: Callable[[Tx], T]) -> T: ...

    async def read(self, work: Callable[[Tx], T]) -> T: ...

    async def close(self) -> None: ...
