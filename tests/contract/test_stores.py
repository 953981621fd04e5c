"""What every store must do, told directly."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gogrid_desktop.coordinator.store.port import Store, Tx
from gogrid_desktop.coordinator.store.records import (
    AccountRecord,
    ChunkRecord,
    InviteRecord,
    JobRecord,
    NodeRecord,
    RequestRecord,
)
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
    await store.write(lambda tx: tx.touch({}, {"req": 20.0, "unknown": 1.0}))
    assert await store.read(lambda tx: tx.unread(31.1)) == []


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
