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

from sqlalchemy import Connection, Select, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError

from gogrid_desktop.coordinator.store import statements
from gogrid_desktop.coordinator.store.migrate import upgrade
from gogrid_desktop.coordinator.store.port import R, Tx
from gogrid_desktop.coordinator.store.records import ChunkRecord, JobRecord, Record, RequestRecord
from gogrid_desktop.coordinator.store.tables import TABLE_OF, from_row, to_row
from gogrid_desktop.errors import GoGridError, StorageFull
from gogrid_desktop.paths import private_dir
from gogrid_desktop.protocol.grid import Priority

T = TypeVar("T")

BUSY_MS = 30_000
READERS = 2
#: SQLite takes 32,766 values in one statement.
_MAX_VALUES = 10_000
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}")
#: SQLITE_IOERR_SHMSIZE: the WAL's index could not grow, which is a full disk too.
_FULL = (sqlite3.SQLITE_FULL, 4874)


class SqlTx:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, kind: type[R], **equal: str | Collection[str]) -> list[R]:
        values: dict[str, Any] = {}
        for name, value in equal.items():
            values[name] = value if isinstance(value, str) else list(value)
            if not isinstance(value, str) and len(value) > _MAX_VALUES:
                parts = [values[name][begin : begin + _MAX_VALUES] for begin in range(0, len(value), _MAX_VALUES)]
                return [record for part in parts for record in self.find(kind, **{**equal, name: part})]
        one_of = frozenset(name for name, value in values.items() if isinstance(value, list))
        return list(self._records(kind, statements.find(TABLE_OF[kind], frozenset(values) - one_of, one_of), values))

    def one(self, kind: type[R], **equal: str) -> R | None:
        return next(iter(self.find(kind, **equal)), None)

    def put(self, *records: Record) -> None:
        by_kind: dict[type[Record], list[dict[str, Any]]] = {}
        for record in records:
            by_kind.setdefault(type(record), []).append(to_row(record))
        for kind, table in TABLE_OF.items():  # in the order of their references
            if rows := by_kind.get(kind):
                self._connection.execute(statements.upsert(table), rows)

    def queued(
        self, model: str, now: float, accounts: Collection[str] | None = None, priority: Priority | None = None
    ) -> Generator[JobRecord, None, None]:
        statement = statements.queued(None if accounts is None else min(len(accounts), 2), priority is not None)
        values = {"model": model, "now": now, "accounts": None if accounts is None else list(accounts)}
        return self._records(JobRecord, statement, {**values, "priority": priority})

    def leased(self) -> list[JobRecord]:
        return list(self._records(JobRecord, statements.leased))

    def waiting(self, accounts: Collection[str] | None = None) -> dict[str, int]:
        if accounts is None:
            rows = self._connection.execute(statements.waiting)
        else:
            rows = self._connection.execute(statements.waiting_of, {"accounts": list(accounts)})
        return {row.model: row.queued for row in rows}

    def newest(self, limit: int) -> list[JobRecord]:
        return list(self._records(JobRecord, statements.newest, {"limit": limit}))

    def overdue(self, now: float) -> list[JobRecord]:
        return list(self._records(JobRecord, statements.overdue, {"now": now}))

    def unread(self, now: float) -> list[RequestRecord]:
        return list(self._records(RequestRecord, statements.unread, {"now": now}))

    def chunks(self, job: str, after_bytes: int = -1) -> list[ChunkRecord]:
        return list(self._records(ChunkRecord, statements.chunks_after, {"job": job, "after_bytes": after_bytes}))

    def touch(self, nodes: Mapping[str, float], readers: Mapping[str, float]) -> None:
        for column, seen in (("last_seen", nodes), ("reader_at", readers)):
            if seen:
                rows = [{"key": key, "at": at} for key, at in seen.items()]
                self._connection.execute(statements.touch(column), rows)

    def purge(self, ended_before: float, verdicts_before: float) -> None:
        ids = list(self._connection.scalars(statements.purgeable, {"ended_before": ended_before}))
        if ids:
            for purge in (statements.purge_chunks, statements.purge_jobs, statements.purge_requests):
                self._connection.execute(purge, {"ids": ids})
        self._connection.execute(statements.forget_verdicts, {"before": verdicts_before})

    def counts(self) -> dict[tuple[str, str], int]:
        return {(model, state.value): count for model, state, count in self._connection.execute(statements.counts)}

    def _records(
        self, kind: type[R], query: Select[Any], values: Mapping[str, Any] | None = None
    ) -> Generator[R, None, None]:
        with self._connection.execute(query, values) as rows:
            for row in rows.mappings():
                yield cast(R, from_row(kind, dict(row)))


class SqlStore:
    """Opens (and where needed makes or migrates) the database at `path`. Raises StorageFull, GoGridError."""

    def __init__(self, path: Path) -> None:
        self._writer = _Side(path, "store-write", 1, "BEGIN IMMEDIATE", _PRAGMAS)
        self._reader = _Side(path, "store-read", READERS, "BEGIN", (*_PRAGMAS, "query_only=ON"))
        try:
            private_dir(path.parent)
            path.touch(mode=0o600)
            self._writer.run(upgrade)
        except (OSError, DatabaseError) as error:
            self._shut()
            reason = error.orig if isinstance(error, DatabaseError) else error.strerror
            raise GoGridError(
                f"The database {path} cannot be opened ({reason}).", "Check the folder and its rights, or use --data."
            ) from error

    async def write(self, work: Callable[[Tx], T]) -> T:
        return await self._writer.later(work)

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self._reader.later(work)

    async def close(self) -> None:
        await asyncio.to_thread(self._shut)

    def _shut(self) -> None:
        self._reader.shut()
        self._writer.shut()


class _Side:
    """The threads that write, or those that read, each with a connection of its own."""

    def __init__(self, path: Path, name: str, threads: int, begin: str, pragmas: tuple[str, ...]) -> None:
        url = f"sqlite:///{path}"
        self._engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_size=threads, hide_parameters=True)
        self._threads = ThreadPoolExecutor(threads, name)
        self._begin = begin

        @event.listens_for(self._engine, "connect")
        def prepare(connection: sqlite3.Connection, _: object) -> None:
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}").close()

    def run(self, work: Callable[[Connection], T]) -> T:
        with self._engine.connect() as connection:
            return _transact(connection, self._begin, work)

    async def later(self, work: Callable[[Tx], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self.run, lambda connection: work(SqlTx(connection)))

    def shut(self) -> None:
        self._threads.shutdown()
        self._engine.dispose()


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
