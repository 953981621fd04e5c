"""The store on SQLite, one file, for a coordinator in one process.

One thread writes, two read, and WAL lets them not wait for each other. (An asynchronous driver would go to its thread
once for each statement, and could be cancelled between two of them.) `synchronous=FULL`: with NORMAL a power cut may
take back the last commits, and a fence that went back could be given out twice. Other processes (the operator's
commands) wait for the write lock up to `BUSY_MS`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError

from gogrid_desktop.coordinator.store.migrate import upgrade
from gogrid_desktop.coordinator.store.one_process import OneProcess
from gogrid_desktop.coordinator.store.port import Ahead, Tx
from gogrid_desktop.coordinator.store.sql import SqlTx
from gogrid_desktop.coordinator.store.statements import Statements
from gogrid_desktop.coordinator.store.together import Together
from gogrid_desktop.errors import GoGridError, StorageFull
from gogrid_desktop.paths import private_dir

T = TypeVar("T")

BUSY_MS = 30_000
READERS = 2
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}")
#: SQLITE_IOERR_SHMSIZE: the WAL's index could not grow, which is a full disk too.
_FULL = (sqlite3.SQLITE_FULL, 4874)
_STATEMENTS = Statements(postgres=False)


class SqliteStore(OneProcess):
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

    async def write(self, work: Callable[[Tx], T], *ahead: Ahead) -> T:
        return await self._writer.together.later(work, ahead)

    async def read(self, work: Callable[[Tx], T], *ahead: Ahead) -> T:
        return await self._reader.together.later(work, ahead)

    async def close(self) -> None:
        for side in (self._reader, self._writer):
            await side.together.close()
        await asyncio.to_thread(self._shut)

    def _shut(self) -> None:
        self._reader.shut()
        self._writer.shut()


class _Side:
    """The threads that write, or those that read, each with a connection of its own."""

    def __init__(self, path: Path, name: str, threads: int, begin: str, pragmas: tuple[str, ...]) -> None:
        url = f"sqlite:///{path}"
        self.engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_size=threads, hide_parameters=True)
        self._threads = ThreadPoolExecutor(threads, name)
        self.together = Together(name, threads, self._whole)
        self._begin = begin

        @event.listens_for(self.engine, "connect")
        def prepare(connection: sqlite3.Connection, _: object) -> None:
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}").close()

    async def _whole(self, work: Callable[[SqlTx], T]) -> T:
        def there() -> T:
            return self.run(lambda connection: work(SqlTx(connection, _STATEMENTS, locks=False)))

        return await asyncio.get_running_loop().run_in_executor(self._threads, there)

    def run(self, work: Callable[[Connection], T]) -> T:
        with self.engine.connect() as connection:
            return _transact(connection, self._begin, work)

    def shut(self) -> None:
        self._threads.shutdown()
        self.engine.dispose()


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
