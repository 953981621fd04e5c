"""The store in memory: for tests, and the plainest statement of what a store does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import replace
from typing import TypeVar, cast

from gogrid_desktop.coordinator.store.port import R, Tx
from gogrid_desktop.coordinator.store.records import (
    ChunkRecord,
    JobRecord,
    ModelRecord,
    NodeRecord,
    Record,
    RequestRecord,
    VerdictRecord,
)
from gogrid_desktop.core.lease import JobState
from gogrid_desktop.protocol.grid import Priority

T = TypeVar("T")

_KEYS: dict[type[Record], tuple[str, ...]] = {
    ModelRecord: ("sha256",),
    ChunkRecord: ("job", "tokens_before", "bytes_before"),
    VerdictRecord: ("lease",),
}


class MemoryTx:
    def __init__(self, tables: dict[type[Record], dict[object, Record]]) -> None:
        self._tables = tables

    def find(self, kind: type[R], **equal: str | Collection[str]) -> list[R]:
        def fits(record: Record) -> bool:
            return all(
                getattr(record, name) == value if isinstance(value, str) else getattr(record, name) in value
                for name, value in equal.items()
            )

        return [cast(R, record) for record in self._table(kind).values() if fits(record)]

    def one(self, kind: type[R], **equal: str) -> R | None:
        return next(iter(self.find(kind, **equal)), None)

    def put(self, *records: Record) -> None:
        for record in records:
            key = tuple(getattr(record, name) for name in _KEYS.get(type(record), ("id",)))
            self._table(type(record))[key] = record

    def queued(
        self, model: str, now: float, accounts: Collection[str] | None = None, priority: Priority | None = None
    ) -> Generator[JobRecord, None, None]:
        ready = [
            record
            for record in self.find(JobRecord, model=model, state=JobState.QUEUED)
            if record.job.not_before <= now
            and (accounts is None or record.account in accounts)
            and priority in (None, record.priority)
        ]
        yield from sorted(ready, key=lambda record: (record.order_at, record.id))

    def leased(self) -> list[JobRecord]:
        return self.find(JobRecord, state=JobState.LEASED)

    def waiting(self, accounts: Collection[str] | None = None) -> dict[str, int]:
        queued = self.find(JobRecord, state=JobState.QUEUED)
        return dict(Counter(one.model for one in queued if accounts is None or one.account in accounts))

    def newest(self, limit: int) -> list[JobRecord]:
        return sorted(self.find(JobRecord), key=lambda record: record.order_at, reverse=True)[:limit]

    def overdue(self, now: float) -> list[JobRecord]:
        return [record for record in self.find(JobRecord) if not record.state.ended and record.job.deadline < now]

    def unread(self, now: float) -> list[RequestRecord]:
        return [
            record
            for record in self.find(RequestRecord)
            if record.ended_at is None and record.reader_at + record.reader_grace_s < now
        ]

    def chunks(self, job: str, after_bytes: int = -1) -> list[ChunkRecord]:
        found = [
            record for record in self.find(ChunkRecord, job=job) if record.bytes_before + record.bytes > after_bytes
        ]
        return sorted(found, key=lambda record: (record.tokens_before, record.bytes_before))

    def touch(self, nodes: Mapping[str, float], readers: Mapping[str, float]) -> None:
        self.put(*(replace(node, last_seen=nodes[node.id]) for node in self.find(NodeRecord, id=nodes)))
        self.put(*(replace(one, reader_at=readers[one.id]) for one in self.find(RequestRecord, id=readers)))

    def purge(self, ended_before: float, verdicts_before: float) -> None:
        for request in self.find(RequestRecord):
            if request.ended_at is not None and request.ended_at < ended_before:
                self.put(replace(request, body=None, idempotency_key=None))
                for job in self.find(JobRecord, request=request.id):
                    self.put(replace(job, refusal=None))
                    self.put(*(replace(one, token_ids=None, text=None) for one in self.chunks(job.id)))
        verdicts = self._table(VerdictRecord)
        for key, verdict in list(verdicts.items()):
            if cast(VerdictRecord, verdict).at < verdicts_before:
                del verdicts[key]

    def counts(self) -> dict[tuple[str, str], int]:
        counted: dict[tuple[str, str], int] = {}
        for record in self.find(JobRecord):
            key = (record.model, record.state.value)
            counted[key] = counted.get(key, 0) + 1
        return counted

    def _table(self, kind: type[Record]) -> dict[object, Record]:
        return self._tables.setdefault(kind, {})


class MemoryStore:
    """Keeps nothing beyond its own life. A transaction that raises leaves everything as it was."""

    def __init__(self) -> None:
        self._tables: dict[type[Record], dict[object, Record]] = {}

    async def write(self, work: Callable[[Tx], T]) -> T:
        draft = {kind: dict(table) for kind, table in self._tables.items()}
        result = work(MemoryTx(draft))
        self._tables = draft
        return result

    async def read(self, work: Callable[[Tx], T]) -> T:
        return work(MemoryTx({kind: dict(table) for kind, table in self._tables.items()}))

    async def close(self) -> None:
        self._tables = {}
