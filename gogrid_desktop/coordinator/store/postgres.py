"""The store on PostgreSQL, for any number of coordinators: each is a replica, and none knows what the others remember.

Isolation is READ COMMITTED: whatever is read to be changed is locked when it is read (in order, so that two replicas
seldom wait for each other in a circle; where they do, the one that PostgreSQL undoes runs again). The replicas wake
each other by NOTIFY, after the commit, in a statement of its own: inside a transaction it would make commits wait for
each other. Source: https://www.postgresql.org/docs/14/sql-notify.html, .../explicit-locking.html.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

import psycopg
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from gogrid_desktop.coordinator.store.group import Base
from gogrid_desktop.coordinator.store.migrate import upgrade
from gogrid_desktop.coordinator.store.port import Ahead, Tx
from gogrid_desktop.coordinator.store.sql import SqlTx
from gogrid_desktop.coordinator.store.statements import Statements
from gogrid_desktop.coordinator.store.together import Together
from gogrid_desktop.errors import BadInput, GoGridError, StorageAway, StorageFull

log = logging.getLogger(__name__)

T = TypeVar("T")

WRITERS, READERS = 1, 1
CHANNEL = "gogrid"
#: A database that does not answer for so long is away.
ANSWER_S = 10
AGAIN_S = 1.0
#: The database's clock is asked for so often; in between our own is trusted to go as fast.
CLOCK_S = 1.0
_TIMES = 5
_MIGRATION_LOCK = 7_164_110_421
_STATEMENTS = Statements(postgres=True)
#: https://www.postgresql.org/docs/14/errcodes-appendix.html: deadlock_detected, serialization_failure.
_UNDONE = ("40P01", "40001")
_FULL = ("53100",)


class PostgresStore:
    """Opens (and where needed migrates) the database at `url`, `postgresql://...`. Raises BadInput, StorageError."""

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        options = {
            "connect_timeout": ANSWER_S,
            "tcp_user_timeout": ANSWER_S * 1000,
            "options": f"-c statement_timeout={ANSWER_S * 1000} -c timezone=UTC",
        }
        pool = {"pool_size": WRITERS + READERS + 1, "hide_parameters": True, "connect_args": options}
        self._engine = create_async_engine(self._url.set(drivername="postgresql+psycopg_async"), **pool)
        self._writer = Together("store-write", WRITERS, lambda work: self._run(work, locks=True))
        self._reader = Together("store-read", READERS, lambda work: self._run(work, locks=False))
        self._ahead_s = self._clock_set_s = 0.0
        try:
            self._migrate(create_engine(self._url, poolclass=NullPool, hide_parameters=True, connect_args=options))
        except DBAPIError as error:
            away = _translated(error, getattr(error.orig, "sqlstate", None))
            reason = away.message if isinstance(away, StorageAway) else f"It says: {_first_line(error)}."
            raise GoGridError(
                f"The database cannot be opened. {reason}", "Check --database, and that PostgreSQL runs."
            ) from error

    def _migrate(self, engine: Engine) -> None:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            upgrade(connection)
            self._set_clock(connection)

    async def write(self, work: Callable[[Tx], T], *ahead: Ahead) -> T:
        return await self._writer.later(work, ahead)

    async def read(self, work: Callable[[Tx], T], *ahead: Ahead) -> T:
        return await self._reader.later(work, ahead)

    async def tell(self, words: str) -> None:
        def notify(connection: Connection) -> None:
            connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (CHANNEL, words))

        await self._transact(notify)

    async def told(self) -> AsyncGenerator[str, None]:
        dsn = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True, connect_timeout=ANSWER_S)
                async with connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    yield ""
                    async for notify in connection.notifies():
                        yield notify.payload
            except psycopg.Error as error:
                log.warning("what other replicas tell is not heard for a while: %s", error)
                await asyncio.sleep(AGAIN_S)

    def clock(self) -> float:
        return time.monotonic() + self._ahead_s

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()
        await self._engine.dispose()

    def _set_clock(self, connection: Connection) -> None:
        """Half of the time that the question took has passed since the answer was true."""
        asked = time.monotonic()
        now = float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one())
        self._clock_set_s = time.monotonic()
        self._ahead_s = now - (asked + self._clock_set_s) / 2

    async def _run(self, work: Callable[[Base], T], *, locks: bool) -> T:
        def whole(connection: Connection) -> T:
            if time.monotonic() - self._clock_set_s > CLOCK_S:
                self._set_clock(connection)
            return work(SqlTx(connection, _STATEMENTS, locks=locks))

        return await self._transact(whole)

    async def _transact(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction; again where it is sure that nothing came of it. Raises StorageError."""
        for time_left in reversed(range(_TIMES)):
            committing = False
            try:
                async with self._engine.connect() as connection:
                    result = await connection.run_sync(work)
                    committing = True
                    await connection.commit()
                    return result
            except DBAPIError as error:
                code = getattr(error.orig, "sqlstate", None)
                undone = code in _UNDONE or isinstance(error, IntegrityError)
                if time_left and (undone or (error.connection_invalidated and not committing)):
                    continue
                raise _translated(error, code) from error
        raise AssertionError("unreachable")


def _translated(error: DBAPIError, code: str | None) -> Exception:
    if code in _FULL:
        return StorageFull("The database's disk is full; nothing was changed.", "Free some space; all try again.")
    if error.connection_invalidated or code is None or code[:2] in ("08", "53", "57", "58"):
        return StorageAway(f"The database does not answer ({_first_line(error)}).", "It is tried again.")
    return error


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]


def _parsed(url: str) -> URL:
    """Raises BadInput; never with the password."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() not in ("postgresql", "postgres") or not parsed.database:
        shown = url.partition("@")[2] or "(no address)"
        raise BadInput("database", shown, "postgresql://user:password@host/name")
    return parsed.set(drivername="postgresql+psycopg")
