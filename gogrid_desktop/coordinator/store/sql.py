"""The store on SQLite, one file, for a coordinator in one process.

A transaction runs whole on a thread of its own: one thread writes, two read, and WAL lets them not wait for each other.
(An asynchronous driver would go to its thread once for each statement, and could be cancelled between two of them.)
`synchronous=FULL`: with NORMAL a power cut may take back the last commits, and a fence that went back could be given
out twice. Other processes (the operator's commands) wait for the write lock up to `BUSY_MS`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, bindparam, create_engine, delete, event, func, select, text, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import OperationalError

from gogrid_desktop.coordinator.store.migrate import upgrade
from gogrid_desktop.coordinator.store.port import R, Tx
from gogrid_desktop.coordinator.store.records import ChunkRecord, JobRecord, Record, RequestRecord
from gogrid_desktop.coordinator.store.tables import TABLE_OF, chunks, from_row, jobs, nodes, requests, to_row, verdicts
from gogrid_desktop.errors import StorageFull
from gogrid_desktop.paths import private_dir

T = TypeVar("T")

BUSY_MS = 5000
#: SQLite takes 32,766 values in one statement.
_MAX_VALUES = 10_000
#: Requests purged in one transaction.
_PURGED = 500
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}")
#: SQLITE_IOERR_SHMSIZE: the WAL's index could not grow, which is a full disk too.
_FULL = (sqlite3.SQLITE_FULL, 4874)
#: In words, because SQLite uses a partial index only for the very words that it was made with.
_QUEUED = text("state = 'queued'")
_ACTIVE = text("state IN ('queued', 'leased')")


class SqlTx:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, kind: type[R], **equal: str | Collection[str]) -> list[R]:
        table = TABLE_OF[kind]
        for name, value in equal.items():
            if not isinstance(value, str) and len(value) > _MAX_VALUES:
                values = list(value)
                parts = [values[begin : begin + _MAX_VALUES] for begin in range(0, len(values), _MAX_VALUES)]
                return [record for part in parts for record in self.find(kind, **{**equal, name: part})]
        wanted = [
            table.c[name] == value if isinstance(value, str) else table.c[name].in_(list(value))
            for name, value in equal.items()
        ]
        return list(self._records(kind, select(table).where(*wanted)))

    def one(self, kind: type[R], **equal: str) -> R | None:
        return next(iter(self.find(kind, **equal)), None)

    def put(self, *records: Record) -> None:
        by_kind: dict[type[Record], list[dict[str, Any]]] = {}
        for record in records:
            by_kind.setdefault(type(record), []).append(to_row(record))
        for kind in TABLE_OF:  # in the order of their references
            if rows := by_kind.get(kind):
                table = TABLE_OF[kind]
                fresh = insert(table)
                changed = {column.name: fresh.excluded[column.name] for column in table.c if not column.primary_key}
                self._connection.execute(
                    fresh.on_conflict_do_update(index_elements=table.primary_key, set_=changed), rows
                )

    def queued(self, model: str, now: float) -> Generator[JobRecord, None, None]:
        wanted = select(jobs).where(_QUEUED, jobs.c.model == model, jobs.c.not_before <= now)
        return self._records(JobRecord, wanted.order_by(jobs.c.order_at, jobs.c.id))

    def leased(self) -> list[JobRecord]:
        return list(self._records(JobRecord, select(jobs).where(jobs.c.leased_to.is_not(None))))

    def waiting(self) -> dict[str, int]:
        grouped = select(jobs.c.model, func.count().label("queued")).where(_QUEUED).group_by(jobs.c.model)
        return {row.model: row.queued for row in self._connection.execute(grouped)}

    def overdue(self, now: float) -> list[JobRecord]:
        return list(self._records(JobRecord, select(jobs).where(_ACTIVE, jobs.c.deadline < now)))

    def unread(self, now: float) -> list[RequestRecord]:
        away = requests.c.reader_at + requests.c.reader_grace_s < now
        return list(self._records(RequestRecord, select(requests).where(requests.c.ended_at.is_(None), away)))

    def chunks(self, job: str, after_bytes: int = -1) -> list[ChunkRecord]:
        wanted = select(chunks).where(chunks.c.job == job, chunks.c.bytes_before + chunks.c.bytes > after_bytes)
        return list(self._records(ChunkRecord, wanted.order_by(chunks.c.tokens_before, chunks.c.bytes_before)))

    def touch(self, nodes_seen: Mapping[str, float], readers: Mapping[str, float]) -> None:
        for table, column, seen in ((nodes, "last_seen", nodes_seen), (requests, "reader_at", readers)):
            if seen:
                self._connection.execute(
                    update(table).where(table.c.id == bindparam("key")).values({column: bindparam("at")}),
                    [{"key": key, "at": at} for key, at in seen.items()],
                )

    def purge(self, ended_before: float, verdicts_before: float) -> None:
        old = (
            select(requests.c.id).where(requests.c.ended_at < ended_before, requests.c.body.is_not(None)).limit(_PURGED)
        )
        if ids := list(self._connection.scalars(old)):
            of_them = select(jobs.c.id).where(jobs.c.request.in_(ids))
            self._connection.execute(update(chunks).where(chunks.c.job.in_(of_them)).values(token_ids=None, text=None))
            self._connection.execute(update(jobs).where(jobs.c.request.in_(ids)).values(refusal=None))
            self._connection.execute(
                update(requests).where(requests.c.id.in_(ids)).values(body=None, idempotency_key=None)
            )
        self._connection.execute(delete(verdicts).where(verdicts.c.at < verdicts_before))

    def counts(self) -> dict[tuple[str, str], int]:
        grouped = select(jobs.c.model, jobs.c.state, func.count()).group_by(jobs.c.model, jobs.c.state)
        return {(model, state.value): count for model, state, count in self._connection.execute(grouped)}

    def _records(self, kind: type[R], query: Any) -> Generator[R, None, None]:
        with self._connection.execute(query) as rows:
            for row in rows:
                yield cast(R, from_row(kind, dict(row._mapping)))


class SqlStore:
    """Opens (and where needed makes or migrates) the database at `path`."""

    def __init__(self, path: Path) -> None:
        private_dir(path.parent)
        path.touch(mode=0o600)
        self._engine = _engine(path)
        with self._engine.connect() as connection:
            _transact(connection, "BEGIN IMMEDIATE", upgrade)
        self._writer = ThreadPoolExecutor(1, "store-write")
        self._readers = ThreadPoolExecutor(2, "store-read")

    async def write(self, work: Callable[[Tx], T]) -> T:
        return await self._run(self._writer, "BEGIN IMMEDIATE", work)

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self._run(self._readers, "BEGIN", work)

    async def close(self) -> None:
        await asyncio.to_thread(self._shut)

    async def _run(self, threads: ThreadPoolExecutor, begin: str, work: Callable[[Tx], T]) -> T:
        def whole() -> T:
            with self._engine.connect() as connection:
                return _transact(connection, begin, lambda inside: work(SqlTx(inside)))

        return await asyncio.get_running_loop().run_in_executor(threads, whole)

    def _shut(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT", pool_size=3, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()

    return engine


def _transact(connection: Connection, begin: str, work: Callable[[Connection], T]) -> T:
    """Run `work` between `begin` and COMMIT; whatever it raises undoes it. Raises StorageFull."""
    driver = cast(sqlite3.Connection, connection.connection.dbapi_connection)
    try:
        connection.exec_driver_sql(begin)
        result = work(connection)
        connection.exec_driver_sql("COMMIT")
    except BaseException as error:
        if driver.in_transaction:  # SQLite has undone it by itself where the disk was full
            connection.exec_driver_sql("ROLLBACK")
        if isinstance(error, OperationalError) and getattr(error.orig, "sqlite_errorcode", None) in _FULL:
            raise StorageFull(
                "The coordinator's disk is full; nothing was changed.", "Free some space; nodes and readers try again."
            ) from error
        raise
    return result
