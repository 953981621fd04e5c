"""SQLite for real: migrations, a full disk, two processes, plans that use the indexes."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from fixtures_grid import KEY, MODEL, FakeClock, Node, World, build, complete, said
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from gogrid_desktop.coordinator.crypto import Vault
from gogrid_desktop.coordinator.ports import Account
from gogrid_desktop.coordinator.settings import CoordinatorSettings
from gogrid_desktop.coordinator.store.group import WorkTx
from gogrid_desktop.coordinator.store.migrate import upgrade
from gogrid_desktop.coordinator.store.port import Tx
from gogrid_desktop.coordinator.store.records import AccountRecord, InviteRecord, NodeRecord
from gogrid_desktop.coordinator.store.sql import SqlTx
from gogrid_desktop.coordinator.store.sqlite import SqliteStore
from gogrid_desktop.coordinator.store.tables import metadata
from gogrid_desktop.coordinator.sweep import sweep
from gogrid_desktop.errors import GoGridError, StorageFull
from gogrid_desktop.protocol.grid import Have, Priority, ShareWith, Verdict, Work


async def test_the_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "grid.sqlite3")
    with store._writer.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    await store.close()


async def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "grid.sqlite3"
    first = SqliteStore(path)
    await first.write(lambda tx: tx.put(InviteRecord("i", "h", 2, 1.0, 2.0)))
    beside = SqliteStore(path)
    await beside.write(lambda tx: tx.put(InviteRecord("j", "k", 2, 1.0, 2.0)))
    assert await first.read(lambda tx: len(tx.find(InviteRecord))) == 2
    await first.close()
    await beside.close()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o700) == (0o600, 0o700)


OLD_ROWS = """
INSERT INTO accounts VALUES ('acc', 'me', 'high', 0.0, 1.0);
INSERT INTO invites VALUES ('i', 'ih', 2, 1.0, 2000000.0);
INSERT INTO nodes VALUES ('n', 'nh', 'old', 'linux', '0', 1.0, 999999.0, NULL, '["MODEL"]', '["chat"]', 4096);
""".replace("MODEL", MODEL)


async def test_what_was_kept_before_nodes_had_accounts_stays_and_means_what_it_meant(tmp_path: Path) -> None:
    path = tmp_path / "grid.sqlite3"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        upgrade(connection, "0001")
    engine.dispose()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(OLD_ROWS)

    store = SqliteStore(path)
    account = AccountRecord("acc", "me", Priority.HIGH, 0.0, 1.0)
    assert await store.read(lambda tx: tx.find(AccountRecord)) == [account]
    assert await store.read(lambda tx: tx.find(InviteRecord)) == [InviteRecord("i", "ih", 2, 1.0, 2e6)]
    (node,) = await store.read(lambda tx: tx.find(NodeRecord))
    assert (node.account, node.work, node.share_with, node.groups) == (None, tuple(Work), ShareWith.EVERYONE, ())
    clock = FakeClock()
    caller = Account("acc", "k")
    world = await build(store, clock, Vault([KEY]), CoordinatorSettings(data=tmp_path, clock=clock), caller)
    request = await world.ask()
    (lease,) = (await Node(world, node).call()).leases
    assert lease.job.id == f"{request}.0"
    await store.close()


async def test_a_power_cut_loses_no_commit(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "grid.sqlite3")
    with store._writer.engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        }
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    assert settings == {"journal_mode": "wal", "synchronous": 2}
    await store.close()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM jobs WHERE state = 'queued' AND model = 'm' AND not_before <= 3 ORDER BY order_at, id",
        "SELECT * FROM jobs WHERE state = 'queued' AND model = 'm' AND not_before <= 3 AND account IN ('a')"
        " ORDER BY order_at, id",
        "SELECT * FROM jobs WHERE leased_to = 'n'",
        "SELECT * FROM jobs WHERE leased_to IS NOT NULL",
        "SELECT * FROM jobs WHERE state IN ('queued', 'leased') AND deadline < 3",
        "SELECT * FROM jobs WHERE request = 'r'",
        "SELECT * FROM nodes WHERE token_hash = 'h'",
    ],
)
async def test_no_call_walks_a_table(tmp_path: Path, query: str) -> None:
    await SqliteStore(tmp_path / "grid.sqlite3").close()
    connection = sqlite3.connect(tmp_path / "grid.sqlite3")
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    connection.close()
    assert all("USING INDEX" in step or "USING COVERING INDEX" in step for step in plan), plan


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "grid.sqlite3")
    with pytest.raises(OperationalError, match="readonly"):
        await store.read(lambda tx: tx.put(InviteRecord("i", "h", 2, 1.0, 2.0)))
    await store.close()


@pytest.mark.parametrize(
    "content", [b"this is no database at all, whatever its name says" * 100, b"SQLite format 3\0" + b"x" * 5000]
)
def test_a_file_that_is_no_database_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "grid.sqlite3").write_bytes(content)
    with pytest.raises(GoGridError, match="cannot be opened"):
        SqliteStore(tmp_path / "grid.sqlite3")


def limit(tx: Tx, more_pages: int) -> None:
    """Let the connection that writes use so many more pages: SQLite then answers as on a full disk."""
    assert isinstance(tx, WorkTx)
    sql = tx._shared.tx
    assert isinstance(sql, SqlTx)
    used = sql.connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    sql.connection.exec_driver_sql(f"PRAGMA max_page_count = {used + more_pages}")


async def test_a_full_disk_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    store = SqliteStore(tmp_path / "grid.sqlite3")
    world = await build(store, clock, Vault([KEY]), CoordinatorSettings(data=tmp_path, clock=clock))
    node, request = await world.node(), await world.ask()
    lease = await node.lease()
    await node.say(lease, "kept ")

    await store.write(partial(limit, more_pages=0))
    big = said(lease, "x" * 100_000, at=Have(tokens=1, bytes=5))
    for _ in range(2):
        with pytest.raises(StorageFull):
            await node.report(big)
        with pytest.raises(StorageFull):
            await world.ask(prompt="y" * 100_000)
    (choice,) = (await world.view(request)).choices
    assert (choice.text, choice.tokens) == ("kept ", 1)
    await store.write(partial(limit, more_pages=2**20))
    (verdict,) = (await node.report(big)).verdicts
    assert verdict.have == Have(tokens=2, bytes=100_005)
    ended, _ = await node.say(lease, at=verdict.have, end=complete(2, 100_005))
    assert ended is Verdict.DONE
    await store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


async def test_a_disk_that_is_really_full_is_waited_out(small_disk: Path) -> None:
    clock = FakeClock()
    store = SqliteStore(small_disk / "grid.sqlite3")
    world = await build(store, clock, Vault([KEY]), CoordinatorSettings(data=small_disk, clock=clock))
    node, request = await world.node(), await world.ask()
    lease = await node.lease()
    ballast = small_disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1024)
    report = said(lease, "x" * 50_000)
    with pytest.raises(StorageFull):
        for _ in range(20):  # what was allocated before the disk was full is used up first
            await node.report(report)
            report = said(lease, "x" * 50_000, at=await have(world, request))
    before = await have(world, request)
    ballast.unlink()
    assert await have(world, request) == before
    (verdict,) = (await node.report(report)).verdicts
    assert verdict.have.tokens == before.tokens + 1
    await sweep(world.grid)
    await store.close()


async def have(world: World, request: str) -> Have:
    (choice,) = (await world.view(request)).choices
    return Have(tokens=choice.tokens, bytes=choice.bytes)
