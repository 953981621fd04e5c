"""What every store must do, told directly."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count

import pytest

from gogrid_desktop.coordinator.store.port import Ahead, Store, Tx
from gogrid_desktop.coordinator.store.records import (
    AccountRecord,
    ChunkRecord,
    InviteRecord,
    JobRecord,
    NodeRecord,
    RequestRecord,
)
from gogrid_desktop.coordinator.store.unsaid import Unsaid
from gogrid_desktop.core.lease import (
    FinishReason,
    Job,
    JobError,
    JobState,
    Lease,
)
from gogrid_desktop.protocol.grid import JobKind, Priority, ShareWith, Work

ACCOUNT = AccountRecord("acc", "me", Priority.HIGH, 0.0, 1.0)
FULL_JOB = Job(
    "req.0",
    deadline=50.5,
    max_tokens=9,
    prompt_bytes=8,
    dry_limit=20,
    state=JobState.LEASED,
    fence=7,
    lease=Lease("req.0.7", "node", "poll", 3.25, 4, True),
    tokens=5,
    bytes=2**40,
    dry_tokens=1,
    prompt_tokens=6,
    prompt_hash="hash",
    attempts=1,
    barren_in_a_row=2,
    barren=3,
    not_before=4.5,
    suspect=True,
    needs_context=99,
    avoid=("a", "b"),
    faulted=("c",),
    finish=FinishReason.LENGTH,
    error=JobError(400, "code", "message", "param"),
)


def request(name: str = "req", **other: object) -> RequestRecord:
    fields = {
        "body": b"sealed",
        "rendered_at": 1.0,
        "created_at": 1.0,
        "reader_at": 1.0,
        "reader_grace_s": 30.0,
        "idempotency_key": None,
        "body_hash": "",
        "ended_at": None,
        "left": 1,
        **other,
    }
    return RequestRecord(name, "acc", JobKind.CHAT, "model", priority=Priority.LOW, **fields)  # type: ignore[arg-type]


def record(job: Job, order_at: float = 1.0, model: str = "model") -> JobRecord:
    return JobRecord(job, job.id.partition(".")[0], 0, "acc", JobKind.CHAT, model, Priority.LOW, order_at)


async def fill(store: Store, *records: object) -> None:
    await store.write(lambda tx: tx.put(ACCOUNT, request(), *records))  # type: ignore[arg-type]


async def test_a_record_comes_back_as_it_was_put(store: Store) -> None:
    node = NodeRecord("n", "h", "name", "linux", "1", 1.0, 2.0, None, ("m1", "m2"), (JobKind.CHAT,), 4096)
    whose = {"account": "acc", "work": (Work.BATCH,), "share_with": ShareWith.GROUPS, "groups": ("a", "b")}
    owned = replace(node, id="o", token_hash="h2", **whose)  # type: ignore[arg-type]
    invite, account = InviteRecord("i", "h", 2, 1.0, 2.0, "acc"), replace(ACCOUNT, groups=("a", "b"))
    await fill(store, record(FULL_JOB), node, owned, invite, account)
    assert await store.read(lambda tx: tx.one(NodeRecord, id="o")) == owned
    assert await store.read(lambda tx: tx.one(InviteRecord, id="i")) == invite
    assert await store.read(lambda tx: tx.one(AccountRecord, id="acc")) == account
    assert await store.read(lambda tx: tx.one(JobRecord, id="req.0")) == record(FULL_JOB)
    assert await store.read(lambda tx: tx.one(NodeRecord, token_hash="h")) == node
    assert await store.read(lambda tx: tx.one(NodeRecord, token_hash="other")) is None


async def test_all_characters_and_bytes_come_back(store: Store) -> None:
    names = ["", '"', "\\", "{a,b}", "NULL", "é\n\u2028\U0001f600", "'", "\\x00", " "]
    invites = [InviteRecord(f"i{place}", f"h{place}", 2**60, -1e-9, 1e300, name) for place, name in enumerate(names)]
    sealed = request("bytes", body=bytes(range(256)), idempotency_key=None)
    await fill(store, *invites, sealed)
    found = await store.read(lambda tx: tx.find(InviteRecord))
    assert sorted(found, key=lambda one: one.id) == invites
    assert await store.read(lambda tx: tx.one(RequestRecord, id="bytes")) == sealed
    moved = [replace(one, account=f"{one.account}!") for one in invites]
    await store.write(lambda tx: (tx.find(InviteRecord, id=[one.id for one in moved]), tx.put(*moved)))
    assert sorted(await store.read(lambda tx: tx.find(InviteRecord)), key=lambda one: one.id) == moved


async def test_putting_again_replaces(store: Store) -> None:
    await store.write(lambda tx: tx.put(InviteRecord("i", "h", 2, 1.0, 2.0)))
    await store.write(lambda tx: tx.put(InviteRecord("i", "h", 1, 1.0, 2.0)))
    assert await store.read(lambda tx: tx.find(InviteRecord)) == [InviteRecord("i", "h", 1, 1.0, 2.0)]


async def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    def work(tx: Tx) -> None:
        tx.put(InviteRecord("i", "h", 2, 1.0, 2.0))
        assert tx.one(InviteRecord, id="i") is not None
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await store.write(work)
    assert await store.read(lambda tx: tx.find(InviteRecord)) == []


async def test_the_queue_is_read_in_order_without_the_backed_off_and_the_leased(store: Store) -> None:
    jobs = [Job(f"req.{index}", 50.0, 9, 8) for index in range(4)]
    later = Job("req.4", 50.0, 9, 8, not_before=9.0)
    await fill(
        store,
        record(jobs[0], 3.0),
        record(jobs[1], 1.0),
        record(jobs[2], 1.0),
        record(jobs[3], 0.0, model="other"),
        record(later, 0.0),
        record(Job("req.5", 50.0, 9, 8, state=JobState.CANCELLED), 0.0),
    )
    assert await store.read(lambda tx: [one.id for one in tx.queued("model", 8.0)]) == ["req.1", "req.2", "req.0"]
    assert await store.read(lambda tx: next(tx.queued("model", 9.0)).id) == "req.4"
    assert await store.read(lambda tx: tx.waiting()) == {"model": 4, "other": 1}
    assert await store.read(lambda tx: [one.id for one in tx.newest(1)]) == ["req.0"]
    assert await store.read(lambda tx: tx.counts()) == {
        ("model", "queued"): 4,
        ("model", "cancelled"): 1,
        ("other", "queued"): 1,
    }


async def test_the_queue_is_read_for_some_accounts_or_one_priority(store: Store) -> None:
    def queued(name: str, account: str, order_at: float, priority: Priority = Priority.LOW) -> JobRecord:
        plain = record(Job(name, 50.0, 9, 8), order_at)
        return replace(plain, account=account, priority=priority)

    later = replace(queued("req.5", "a", 0.0), job=Job("req.5", 50.0, 9, 8, not_before=9.0))
    others = queued("req.1", "b", 1.0), queued("req.2", "c", 2.0)
    mine = queued("req.3", "a", 3.0), queued("req.4", "a", 0.0, Priority.BATCH)
    await fill(store, *mine, *others, later)

    async def names(accounts: set[str] | None, priority: Priority | None = None) -> list[str]:
        return await store.read(lambda tx: [one.id for one in tx.queued("model", 8.0, accounts, priority)])

    assert await names(None) == ["req.4", "req.1", "req.2", "req.3"]
    assert await names({"a"}) == ["req.4", "req.3"]
    assert await names({"a", "c", "x"}) == ["req.4", "req.2", "req.3"]
    assert await names(set()) == []
    assert await names({"a"}, Priority.LOW) == ["req.3"]
    assert await names(None, Priority.BATCH) == ["req.4"]
    assert await store.read(lambda tx: tx.waiting({"a", "b"})) == {"model": 4}
    assert await store.read(lambda tx: tx.waiting(set())) == {}


async def test_leases_are_found_by_node(store: Store) -> None:
    await fill(store, record(FULL_JOB), record(Job("req.1", 50.0, 9, 8)))
    assert await store.read(lambda tx: [one.id for one in tx.leased()]) == ["req.0"]
    assert await store.read(lambda tx: [one.id for one in tx.find(JobRecord, leased_to=["x", "node"])]) == ["req.0"]
    assert await store.read(lambda tx: tx.find(JobRecord, leased_to="x")) == []
    assert await store.read(lambda tx: tx.find(JobRecord, id=[])) == []


async def test_many_values_may_be_asked_for_at_once(store: Store) -> None:
    await fill(store, record(FULL_JOB))
    ids = [f"req.{index}" for index in range(40_000)]
    assert await store.read(lambda tx: len(tx.find(JobRecord, id=ids))) == 1


async def test_overdue_and_unread_are_found(store: Store) -> None:
    await fill(store, record(FULL_JOB), request("gone", ended_at=3.0))
    assert await store.read(lambda tx: tx.overdue(50.5)) == []
    assert await store.read(lambda tx: [one.id for one in tx.overdue(50.6)]) == ["req.0"]
    assert await store.read(lambda tx: tx.unread(31.0)) == []
    assert await store.read(lambda tx: [one.id for one in tx.unread(31.1)]) == ["req"]
    await store.write(lambda tx: tx.touch(Unsaid(readers={"req": 20.0, "unknown": 1.0}), 1.0))
    assert await store.read(lambda tx: tx.unread(31.1)) == []


NODE = NodeRecord("n", "h", "name", "linux", "1", 1.0, 2.0, None, ("m1",), (JobKind.CHAT,), 4096, offered_at=5.0)


def leased(name: str, node: str, granted_at: float, alone: bool = False) -> JobRecord:
    lease = Lease(f"{name}.1", node, "poll", granted_at, 0, alone)
    return record(Job(name, 50.0, 9, 8, state=JobState.LEASED, fence=1, lease=lease))


async def test_a_lease_is_silent_when_its_node_has_not_reported_since(store: Store) -> None:
    await fill(store, NODE, leased("req.0", "n", 3.0), leased("req.1", "n", 20.0), leased("req.2", "gone", 3.0))
    queued_again = replace(leased("req.3", "n", 3.0), job=replace(leased("req.3", "n", 3.0).job, state=JobState.QUEUED))
    await store.write(lambda tx: tx.put(queued_again))

    async def silent(before: float) -> list[str]:
        return sorted(await store.read(lambda tx: [one.id for one in tx.silent(before)]))

    assert await silent(3.0) == []
    assert await silent(20.0) == ["req.0", "req.2"]
    await store.write(lambda tx: tx.touch(Unsaid(reports={"n": 21.0}), 1.0))
    assert await silent(20.0) == ["req.2"]
    assert await silent(21.1) == ["req.0", "req.1", "req.2"]


async def test_what_nodes_have_is_counted(store: Store) -> None:
    await fill(store, leased("req.0", "n", 1.0), leased("req.1", "n", 1.0), leased("req.2", "o", 1.0, alone=True))
    assert await store.read(lambda tx: tx.load(["n", "o", "p"])) == {"n": (2, False), "o": (1, True)}
    assert await store.read(lambda tx: tx.load([])) == {}


async def test_nodes_are_found_by_when_they_called_and_when_their_offer_changed(store: Store) -> None:
    await fill(store, NODE)
    await store.write(lambda tx: tx.touch(Unsaid({"n": 9.0, "unknown": 1.0}), 1.0))
    assert await store.read(lambda tx: (tx.seen(9.0), tx.seen(9.1))) == ({"n": 9.0}, {})
    assert await store.read(lambda tx: [len(tx.offered(since)) for since in (5.0, 5.1)]) == [1, 0]


async def test_times_that_move_are_left_alone_by_what_was_read_before_they_did(store: Store) -> None:
    await fill(store, NODE)
    await store.write(lambda tx: tx.touch(Unsaid({"n": 9.0}, {"n": 8.0}, {"req": 7.0}), 1.0))
    await store.write(lambda tx: tx.put(replace(NODE, context=1), request(ended_at=6.0)))
    node = await store.read(lambda tx: tx.one(NodeRecord, id="n"))
    assert node == replace(NODE, context=1, last_seen=9.0, reported_at=8.0)
    assert await store.read(lambda tx: tx.one(RequestRecord, id="req")) == request(ended_at=6.0, reader_at=7.0)


async def test_a_gap_moves_every_time_of_what_is_not_over(store: Store) -> None:
    backed_off = record(Job("req.1", 50.0, 9, 8, not_before=4.0))
    over = record(Job("req.2", 50.0, 9, 8, state=JobState.COMPLETED))
    await fill(store, NODE, record(FULL_JOB), backed_off, over, request("done", ended_at=3.0))
    await store.write(lambda tx: tx.shift(100.0))
    jobs = {one.id: one.job for one in await store.read(lambda tx: tx.find(JobRecord))}
    assert jobs["req.0"].lease == replace(FULL_JOB.lease, granted_at=103.25)  # type: ignore[type-var]
    assert (jobs["req.0"].deadline, jobs["req.0"].not_before) == (150.5, 104.5)
    assert jobs["req.1"] == replace(backed_off.job, deadline=150.0, not_before=104.0)
    assert jobs["req.2"] == over.job
    readers = {one.id: one.reader_at for one in await store.read(lambda tx: tx.find(RequestRecord))}
    assert readers == {"req": 101.0, "done": 1.0}
    node = await store.read(lambda tx: tx.one(NodeRecord, id="n"))
    assert node is not None
    assert (node.last_seen, node.reported_at, node.offered_at) == (102.0, 100.0, 5.0)


async def test_many_works_at_once_are_each_as_if_alone(store: Store) -> None:
    await store.write(lambda tx: tx.put(InviteRecord("i", "h", 100, 1.0, 2.0)))

    def use(tx: Tx) -> int:
        found = tx.one(InviteRecord, id="i")
        assert found is not None
        tx.put(replace(found, uses_left=found.uses_left - 1))
        if next(numbers) % 3 == 0:
            raise ValueError
        return found.uses_left

    numbers = count()
    done = await asyncio.gather(
        *(store.write(use, Ahead(InviteRecord, "id", ["i"])) for _ in range(60)), return_exceptions=True
    )
    used = [one for one in done if isinstance(one, int)]
    assert 0 < len(used) < 60
    assert sorted(used, reverse=True) == list(range(100, 100 - len(used), -1))
    left = await store.read(lambda tx: tx.one(InviteRecord, id="i"))
    assert left is not None
    assert left.uses_left == 100 - len(used)


async def test_chunks_come_in_order_from_a_byte_on(store: Store) -> None:
    rows = [
        ChunkRecord("req.0", 0, 0, 1, "n", 2, 3, b"i", b"t"),
        ChunkRecord("req.0", 2, 3, 1, "n", 0, 4, b"i", b"t"),
        ChunkRecord("req.0", 2, 7, 2, "n", 5, 0, b"i", b"t"),
    ]
    await fill(store, record(FULL_JOB), *reversed(rows))
    assert await store.read(lambda tx: tx.chunks("req.0")) == rows
    assert await store.read(lambda tx: tx.chunks("req.0", 3)) == rows[1:]
    assert await store.read(lambda tx: tx.chunks("req.0", 7)) == []


async def test_an_idempotency_key_is_unique_in_an_account(store: Store) -> None:
    await fill(store, request("one", idempotency_key="k"))
    found = await store.read(lambda tx: tx.one(RequestRecord, account="acc", idempotency_key="k"))
    assert found is not None
    assert found.id == "one"
