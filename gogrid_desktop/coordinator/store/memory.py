"""The store in memory: for tests, and the plainest statement of what a store does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable
from dataclasses import replace
from typing import Any, TypeVar, cast

from gogrid_desktop.coordinator.store.one_process import OneProcess
from gogrid_desktop.coordinator.store.port import PAGE, Ahead, R, Tx
from gogrid_desktop.coordinator.store.records import (
    AccountRecord,
    ChunkRecord,
    JobRecord,
    NodeRecord,
    Record,
    RequestRecord,
    VerdictRecord,
)
from gogrid_desktop.coordinator.store.tables import MOVING, TABLE_OF, key_of
from gogrid_desktop.coordinator.store.unsaid import Unsaid
from gogrid_desktop.core.lease import JobState, shift
from gogrid_desktop.protocol.grid import Priority

T = TypeVar("T")


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
            before = self._table(type(record)).get(key_of(record))
            moving = MOVING.get(TABLE_OF[type(record)], ()) if before else ()
            kept: dict[str, Any] = {name: getattr(before, name) for name in moving}
            self._keep(replace(record, **kept) if kept else record)  # type: ignore[type-var]

    def change(self, pairs: Iterable[tuple[Record, Record]]) -> None:
        self.put(*(after for _, after in pairs))

    def _keep(self, record: Record) -> None:
        self._table(type(record))[key_of(record)] = record

    def queued(
        self,
        model: str,
        now: float,
        accounts: Collection[str] | None = None,
        priority: Priority | None = None,
        page: int = PAGE,
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

    def silent(self, before: float) -> list[JobRecord]:
        reported = {node.id: node.reported_at for node in self.find(NodeRecord)}
        leases = [(record, record.job.lease) for record in self.leased()]
        return [
            record
            for record, lease in leases
            if lease and lease.granted_at < before and reported.get(lease.node, 0.0) < before
        ]

    def load(self, nodes: Collection[str]) -> dict[str, tuple[int, bool]]:
        loads: dict[str, tuple[int, bool]] = {}
        for record in self.find(JobRecord, leased_to=nodes):
            if lease := record.job.lease:
                jobs, alone = loads.get(lease.node, (0, False))
                loads[lease.node] = jobs + 1, alone or lease.alone
        return loads

    def seen(self, since: float) -> dict[str, float]:
        return {node.id: node.last_seen for node in self.find(NodeRecord) if node.last_seen >= since}

    def offered(self, since: float) -> list[NodeRecord]:
        return [node for node in self.find(NodeRecord) if node.offered_at >= since]

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

    def touch(self, unsaid: Unsaid, now: float) -> None:
        for node in self.find(NodeRecord, id=unsaid.nodes):
            self._keep(replace(node, last_seen=unsaid.nodes[node.id]))
        for node in self.find(NodeRecord, id=unsaid.reports):
            self._keep(replace(node, reported_at=unsaid.reports[node.id]))
        for one in self.find(RequestRecord, id=unsaid.readers):
            self._keep(replace(one, reader_at=unsaid.readers[one.id]))
        for account in self.find(AccountRecord, id=unsaid.charges):
            self._keep(replace(account, next_at=max(account.next_at, now) + unsaid.charges[account.id]))

    def leads(self, now: float) -> dict[str, float]:
        return {account.id: account.next_at for account in self.find(AccountRecord) if account.next_at > now}

    def shift(self, gap_s: float) -> None:
        for node in self.find(NodeRecord):
            moved = {"last_seen": node.last_seen + gap_s, "reported_at": node.reported_at + gap_s}
            self._keep(replace(node, **moved))  # type: ignore[arg-type]
        for request in self.find(RequestRecord):
            if request.ended_at is None:
                self._keep(replace(request, reader_at=request.reader_at + gap_s))
        self.put(*(replace(record, job=shift(record.job, gap_s)) for record in self.find(JobRecord)))

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


class MemoryStore(OneProcess):
    """Keeps nothing beyond its own life. A transaction that raises leaves everything as it was."""

    def __init__(self) -> None:
        self._tables: dict[type[Record], dict[object, Record]] = {}

    async def write(self, work: Callable[[Tx], T], *ahead: Ahead) -> T:
        draft = {kind: dict(table) for kind, table in self._tables.items()}
        result = work(MemoryTx(draft))
        self._tables = draft
        return result

    async def read(self, work: Callable[[Tx], T], *ahead: Ahead) -> T:
        return work(MemoryTx({kind: dict(table) for kind, table in self._tables.items()}))

    async def close(self) -> None:
        self._tables = {}
