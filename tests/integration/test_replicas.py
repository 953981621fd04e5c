"""Two coordinators over one PostgreSQL, which know of each other only what it tells them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fixtures_grid import KEY, FakeClock, Node, World, build, complete
from fixtures_grid import said as says
from sqlalchemy import make_url

from gogrid_desktop.coordinator.crypto import Vault
from gogrid_desktop.coordinator.news import run_hearing, run_telling
from gogrid_desktop.coordinator.settings import CoordinatorSettings
from gogrid_desktop.coordinator.store.postgres import PostgresStore
from gogrid_desktop.coordinator.store.records import JobRecord, RequestRecord
from gogrid_desktop.core.lease import JobState
from gogrid_desktop.errors import BadInput, GoGridError, StorageAway
from gogrid_desktop.protocol.grid import Have, SamplingParams, Verdict


@dataclass
class Pair:
    """Two replicas with one clock; nodes may speak to either."""

    one: World
    other: World
    url: str

    def at_other(self, node: Node) -> Node:
        self.other.grid.presence.saw(node.record, self.other.clock.now)
        return Node(self.other, node.record, node.poll)


@pytest.fixture
async def pair(new_database: Callable[[], str], tmp_path: Path) -> AsyncIterator[Pair]:
    url, clock = new_database(), FakeClock()
    settings = CoordinatorSettings(data=tmp_path, clock=clock, database=url)
    stores = PostgresStore(url), PostgresStore(url)
    one = await build(stores[0], clock, Vault([KEY]), settings)
    other = await build(stores[1], clock, Vault([KEY]), settings, one.account)
    tasks = [asyncio.create_task(run(world.grid)) for world in (one, other) for run in (run_telling, run_hearing)]
    tasks += [asyncio.create_task(world.matchmaker.run()) for world in (one, other)]
    yield Pair(one, other, url)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for store in stores:
        await store.close()


async def settle(world: World) -> None:
    """Let the database hear of what this replica saw."""
    unsaid, now = world.grid.unsaid.take(), world.clock.now
    await world.store.write(lambda tx: tx.touch(unsaid, now))


async def test_a_node_that_waits_at_one_gets_what_is_asked_of_the_other(pair: Pair) -> None:
    node = await pair.one.node()
    calling = asyncio.create_task(node.call(wait_s=20.0))
    while not pair.one.matchmaker._waiting:
        await asyncio.sleep(0.01)
    pair.other.grid.presence.learn([node.record])
    pair.other.grid.presence.saw(node.record, pair.other.clock.now)
    request = await pair.other.ask()
    async with asyncio.timeout(10):
        (lease,) = (await calling).leases
    assert lease.job.id == f"{request}.0"


async def test_a_reader_at_one_sees_what_is_reported_to_the_other(pair: Pair) -> None:
    node = await pair.one.node()
    request = await pair.one.ask()
    lease = await node.lease()
    watch = pair.one.desk.watch(request)
    assert await pair.at_other(node).say(lease, "a") == (Verdict.RENEWED, Have(tokens=1, bytes=1))
    async with asyncio.timeout(10):
        while not (await pair.one.view(request)).choices[0].text:
            await watch.changed(10.0)
    watch.close()


async def test_a_heartbeat_at_one_keeps_the_lease_while_the_other_sweeps(pair: Pair) -> None:
    node = await pair.one.node()
    request = await pair.one.ask()
    lease = await node.lease()
    for _ in range(6):
        await node.report(held=(lease.id,))
        await pair.one.desk.touch_reader(request)
        await settle(pair.one)
        await pair.other.pass_time(6)
    assert (await pair.other.view(request)).choices[0].state is JobState.LEASED
    await pair.one.desk.touch_reader(request)
    await settle(pair.one)
    await pair.other.pass_time(20)
    assert (await pair.other.view(request)).choices[0].state is JobState.QUEUED


async def test_a_silence_that_both_find_at_once_is_one_attempt(pair: Pair) -> None:
    node = await pair.one.node()
    request = await pair.one.ask(deadline_s=3000.0, idempotency_key="k")
    await node.lease()
    for world in (pair.one, pair.other):
        await world.pass_time(20)
    await asyncio.gather(*(world.pass_time(4) for world in (pair.one, pair.other)))
    (record,) = await pair.one.store.read(lambda tx: tx.find(JobRecord, request=request))
    assert (record.state, record.job.attempts, record.job.barren) == (JobState.QUEUED, 1, 1)


async def test_no_job_is_leased_twice_and_all_are_leased(pair: Pair) -> None:
    nodes = [await pair.one.node(f"n{index}") for index in range(8)]
    nodes = [pair.at_other(node) if index % 2 else node for index, node in enumerate(nodes)]
    asked = await asyncio.gather(*((pair.one, pair.other)[index % 2].ask() for index in range(60)))
    leased: list[str] = []

    async def take(node: Node) -> None:
        while len(leased) < len(asked):
            leased.extend(lease.job.id for lease in (await node.call(slots=3)).leases)
            await asyncio.sleep(0)

    async with asyncio.timeout(60):
        await asyncio.gather(*(take(node) for node in nodes))
    assert sorted(leased) == sorted(f"{request}.0" for request in asked)


async def test_choices_that_end_at_both_at_once_end_their_request(pair: Pair) -> None:
    node = await pair.one.node()
    for _ in range(10):
        await pair.one.ask(params=(SamplingParams(max_tokens=5), SamplingParams(max_tokens=5, choice=1)))
        first, second = (await node.call(slots=2)).leases
        there = pair.at_other(node)
        held = (first.id, second.id)
        await asyncio.gather(
            node.report(says(first, "a", end=complete(1, 1)), held=held),
            there.report(says(second, "b", end=complete(1, 1)), held=held),
        )
    found = await pair.one.store.read(lambda tx: tx.find(RequestRecord))
    assert [(one.left, one.ended_at is None) for one in found] == [(0, False)] * 10


async def test_a_lease_that_one_gave_to_a_call_that_was_gone_comes_back_by_a_report_to_the_other(pair: Pair) -> None:
    node = await pair.one.node()
    request = await pair.one.ask()
    lost = await node.lease()
    there = pair.at_other(node)
    await there.call()
    await there.report()
    async with asyncio.timeout(10):
        again = await there.lease(wait_s=10.0)
    assert (again.job.id, again.fence) == (lost.job.id, lost.fence + 1) == (f"{request}.0", 2)


async def test_a_key_that_is_used_at_both_at_once_is_one_request(pair: Pair) -> None:
    node = await pair.one.node()
    pair.at_other(node)
    for index in range(10):
        wish = {"idempotency_key": f"k{index}", "body_hash": "same"}
        first, second = await asyncio.gather(pair.one.ask(**wish), pair.other.ask(**wish))
        assert first == second


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"database": "none"}, "does not exist"),
        ({"host": "127.0.0.1", "port": 1, "query": {}}, "does not answer"),
    ],
)
def test_a_database_that_cannot_be_opened_is_said(
    new_database: Callable[[], str], change: dict[str, Any], said: str
) -> None:
    url = make_url(new_database()).set(**change).render_as_string(hide_password=False)
    with pytest.raises(GoGridError, match=said) as caught:
        PostgresStore(url)
    assert "--database" in caught.value.remedy


@pytest.mark.parametrize("url", ["postgresql://someone:secret@host", "mysql://someone:secret@host/grid", "secret://"])
def test_an_address_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(BadInput, match="database") as caught:
        PostgresStore(url)
    assert "secret@" not in str(caught.value)


async def test_a_database_that_was_away_is_waited_for(pair: Pair) -> None:
    node = await pair.one.node()
    request = await pair.one.ask()
    lease = await node.lease()
    with psycopg.connect(pair.url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    async with asyncio.timeout(20):
        while True:
            try:
                verdict, _ = await node.say(lease, "a")
                break
            except StorageAway:
                await asyncio.sleep(0.05)
    assert verdict is Verdict.RENEWED
    assert (await pair.other.view(request)).choices[0].text == "a"
