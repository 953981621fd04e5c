"""One transaction on a SQL database, statement by statement; what differs between databases is in `Statements`."""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Iterable, Mapping
from typing import Any, cast

from sqlalchemy import Connection, Select, Table

from gogrid_desktop.coordinator.store import statements
from gogrid_desktop.coordinator.store.port import PAGE, R
from gogrid_desktop.coordinator.store.records import (
    AccountRecord,
    ChunkRecord,
    InviteRecord,
    JobRecord,
    MetaRecord,
    NodeRecord,
    Record,
    RequestRecord,
)
from gogrid_desktop.coordinator.store.statements import Statements
from gogrid_desktop.coordinator.store.tables import MOVING, TABLE_OF, from_row, to_row
from gogrid_desktop.coordinator.store.unsaid import Unsaid
from gogrid_desktop.protocol.grid import Priority

#: SQLite takes 32,766 values in one statement.
_MAX_VALUES = 10_000
_LARGEST_PAGE = 1000
#: Read to be changed, from what was read: nobody else may change them in between.
_LOCKED = frozenset({AccountRecord, InviteRecord, JobRecord, MetaRecord, RequestRecord})


class SqlTx:
    """See `port.Tx`. `locks`: rows that are found stay as they are until the end of the transaction."""

    def __init__(self, connection: Connection, its: Statements, *, locks: bool) -> None:
        self.connection = connection
        self._its = its
        self._locks = locks

    def find(self, kind: type[R], **equal: str | Collection[str]) -> list[R]:
        values: dict[str, Any] = {}
        for name, value in equal.items():
            values[name] = value if isinstance(value, str) else list(value)
            if not isinstance(value, str) and len(value) > _MAX_VALUES:
                parts = [values[name][begin : begin + _MAX_VALUES] for begin in range(0, len(value), _MAX_VALUES)]
                return [record for part in parts for record in self.find(kind, **{**equal, name: part})]
        one_of = frozenset(name for name, value in values.items() if isinstance(value, list))
        lock = self._locks and kind in _LOCKED and bool(equal)
        return list(
            self._records(kind, self._its.find(TABLE_OF[kind], frozenset(values) - one_of, one_of, lock), values)
        )

    def one(self, kind: type[R], **equal: str) -> R | None:
        return next(iter(self.find(kind, **equal)), None)

    def put(self, *records: Record) -> None:
        by_kind: dict[type[Record], list[dict[str, Any]]] = {}
        for record in records:
            by_kind.setdefault(type(record), []).append(to_row(record))
        for kind, table in TABLE_OF.items():  # in the order of their references
            if rows := by_kind.get(kind):
                self.connection.execute(self._its.upsert(table), self._its.rows(rows))

    def change(self, pairs: Iterable[tuple[Record, Record]]) -> None:
        """See `group.Base`."""
        alike: dict[tuple[Table, tuple[str, ...]], list[dict[str, Any]]] = {}
        for before, after in pairs:
            table, old, new = TABLE_OF[type(after)], to_row(before), to_row(after)
            moving = MOVING.get(table, ())
            changed = tuple(name for name, value in new.items() if value != old[name] and name not in moving)
            if changed:
                key = {f"key_{column.name}": new[column.name] for column in table.primary_key}
                alike.setdefault((table, changed), []).append(key | {name: new[name] for name in changed})
        for (table, changed), rows in alike.items():
            self.connection.execute(self._its.change(table, changed), self._its.rows(rows))

    def queued(
        self,
        model: str,
        now: float,
        accounts: Collection[str] | None = None,
        priority: Priority | None = None,
        page: int = PAGE,
    ) -> Generator[JobRecord, None, None]:
        kind = None if accounts is None else min(len(accounts), 2)
        statement = self._its.queued(kind, priority is not None, self._locks)
        values = {"model": model, "now": now, "accounts": None if accounts is None else list(accounts)}
        order_at, last = -math.inf, ""
        while True:
            place = {"priority": priority, "order_at": order_at, "id": last, "limit": page}
            found = list(self._records(JobRecord, statement, values | place))
            yield from found
            if len(found) < page:
                return
            order_at, last = found[-1].order_at, found[-1].id
            page = min(4 * page, _LARGEST_PAGE)

    def leased(self) -> list[JobRecord]:
        return list(self._records(JobRecord, statements.leased))

    def waiting(self, accounts: Collection[str] | None = None) -> dict[str, int]:
        if accounts is None:
            rows = self.connection.execute(self._its.waiting)
        else:
            rows = self.connection.execute(self._its.waiting_of, {"accounts": list(accounts)})
        return {row.model: row.queued for row in rows}

    def newest(self, limit: int) -> list[JobRecord]:
        return list(self._records(JobRecord, statements.newest, {"limit": limit}))

    def silent(self, before: float) -> list[JobRecord]:
        return list(self._records(JobRecord, statements.silent, {"before": before}))

    def load(self, nodes: Collection[str]) -> dict[str, tuple[int, bool]]:
        rows = self.connection.execute(self._its.load, {"nodes": list(nodes)})
        return {node: (jobs, bool(alone)) for node, jobs, alone in rows}

    def seen(self, since: float) -> dict[str, float]:
        return {row.id: row.last_seen for row in self.connection.execute(statements.seen, {"since": since})}

    def offered(self, since: float) -> list[NodeRecord]:
        return list(self._records(NodeRecord, statements.offered, {"since": since}))

    def overdue(self, now: float) -> list[JobRecord]:
        return list(self._records(JobRecord, statements.overdue, {"now": now}))

    def unread(self, now: float) -> list[RequestRecord]:
        return list(self._records(RequestRecord, statements.unread, {"now": now}))

    def chunks(self, job: str, after_bytes: int = -1) -> list[ChunkRecord]:
        return list(self._records(ChunkRecord, statements.chunks_after, {"job": job, "after_bytes": after_bytes}))

    def touch(self, unsaid: Unsaid, now: float) -> None:
        if ids := sorted({*unsaid.nodes, *unsaid.reports}):  # each once and in order: replicas see the same nodes
            rows = [{"key": id, "seen": unsaid.nodes.get(id), "reported": unsaid.reports.get(id)} for id in ids]
            self.connection.execute(statements.touch_nodes, rows)
        if unsaid.readers:
            rows = [{"key": key, "read": at} for key, at in sorted(unsaid.readers.items())]
            self.connection.execute(statements.touch_readers, rows)
        if unsaid.charges:
            rows = [{"key": key, "now": now, "seconds": seconds} for key, seconds in sorted(unsaid.charges.items())]
            self.connection.execute(self._its.charge, rows)

    def leads(self, now: float) -> dict[str, float]:
        return {row.id: row.next_at for row in self.connection.execute(statements.leads, {"now": now})}

    def shift(self, gap_s: float) -> None:
        for statement in statements.shifts:
            self.connection.execute(statement, {"gap_s": gap_s})

    def purge(self, ended_before: float, verdicts_before: float) -> None:
        ids = list(self.connection.scalars(statements.purgeable, {"ended_before": ended_before}))
        if ids:
            for purge in self._its.purges:
                self.connection.execute(purge, {"ids": ids})
        self.connection.execute(statements.forget_verdicts, {"before": verdicts_before})

    def counts(self) -> dict[tuple[str, str], int]:
        return {(model, state.value): count for model, state, count in self.connection.execute(statements.counts)}

    def _records(
        self, kind: type[R], query: Select[Any], values: Mapping[str, Any] | None = None
    ) -> Generator[R, None, None]:
        with self.connection.execute(query, values) as rows:
            for row in rows:
                yield cast(R, from_row(kind, row))
