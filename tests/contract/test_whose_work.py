"""Whose work a node takes, and how much of each kind, on every store: from the invite to the lease."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fixtures_grid import MODEL, Node, World

from gogrid_desktop.coordinator import auth
from gogrid_desktop.coordinator.ports import Unservable
from gogrid_desktop.coordinator.store.records import AccountRecord
from gogrid_desktop.errors import BadInput
from gogrid_desktop.protocol.grid import Fault, FaultKind, Invite, JobKind, Leases, Priority, ShareWith, Work

OWN: dict[str, Any] = {"share_with": "own"}


async def account(world: World, name: str, groups: str = "") -> str:
    """A new account in these groups; its id."""

    def work(tx: auth.Tx) -> AccountRecord:
        auth.make_key(tx, name, Priority.HIGH, None, world.clock.now)
        return auth.set_groups(tx, name, groups)

    return (await world.store.write(work)).id


async def own_node(world: World, name: str = "me") -> Node:
    """A node that joined by an invite of that account."""
    now = world.clock.now
    code = await world.store.write(lambda tx: auth.make_invite(tx, 1, 60.0, now, name))
    enrolled = await world.store.write(lambda tx: auth.enrol(tx, Invite(invite=code, name="n"), now))
    record = await world.store.read(lambda tx: auth.node_of(tx, auth.hashed(enrolled.node_token), now))
    return Node(world, record)


def names(answer: Leases) -> list[str]:
    return [lease.job.id.removesuffix(".0") for lease in answer.leases]


async def test_a_node_that_joins_by_an_accounts_invite_is_its_own(world: World) -> None:
    node, other = await own_node(world), await world.node()
    assert (node.record.account, other.record.account) == (world.account.id, None)


async def test_an_invite_of_an_account_that_is_not_there_is_refused_with_a_remedy(world: World) -> None:
    with pytest.raises(BadInput, match="account = 'nobody' is not allowed: the name of an account") as caught:
        await world.store.write(lambda tx: auth.make_invite(tx, 1, 60.0, 0.0, "nobody"))
    assert "coordinator key --name nobody" in caught.value.remedy


async def test_groups_are_set_whole_and_stay_when_another_key_is_made(world: World) -> None:
    await account(world, "alice", "family, Lab")
    await world.store.write(lambda tx: auth.make_key(tx, "alice", Priority.LOW, None, 2.0))
    alice = await world.store.read(lambda tx: tx.one(AccountRecord, name="alice"))
    assert alice is not None
    assert (alice.groups, alice.max_priority) == (("family", "lab"), Priority.LOW)
    assert (await world.store.write(lambda tx: auth.set_groups(tx, "alice", ""))).groups == ()


@pytest.mark.parametrize(("name", "groups", "words"), [("bob", "x", "name = 'bob'"), ("me", "a b", "groups = 'a b'")])
async def test_groups_that_cannot_be_set_are_refused_by_name(world: World, name: str, groups: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        await world.store.write(lambda tx: auth.set_groups(tx, name, groups))
    assert caught.value.remedy


# --- by whom ---------------------------------------------------------------------------------------------------------


async def test_a_node_that_shares_with_its_own_account_takes_nobody_elses_jobs(world: World) -> None:
    other = await account(world, "other")
    node, _ = await own_node(world), await world.node()
    await world.ask(account=other)
    assert (await node.call(slots=4, **OWN)).none_because == {"share": 1}
    mine = await world.ask()
    assert names(await node.call(slots=4, **OWN)) == [mine]


async def test_own_jobs_are_found_behind_any_number_of_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gogrid_desktop.coordinator.lanes.MAX_LOOKED_AT", 3)
    other = await account(world, "other")
    node, shared, picky = await own_node(world), await world.node(), await world.node()
    for _ in range(8):
        await world.ask(account=other, priority=Priority.CRITICAL)
    mine = await world.ask()
    answers = await asyncio.gather(node.call(**OWN), picky.call(work=("batch",)))
    assert [names(answer) for answer in answers] == [[mine], []]
    assert len(names(await shared.call(slots=8))) == 3


async def test_a_node_that_shares_with_groups_takes_their_accounts_jobs_and_its_own(world: World) -> None:
    friend, stranger = await account(world, "friend", "family,lab"), await account(world, "stranger", "club")
    node, _ = await own_node(world), await world.node()
    mine, theirs = await world.ask(), await world.ask(account=friend)
    foreign = await world.ask(account=stranger)
    assert sorted(names(await node.call(slots=8, share_with="groups", groups=("family",)))) == sorted([mine, theirs])
    assert names(await node.call(slots=8)) == [foreign]


async def test_a_node_of_nobody_may_share_with_groups(world: World) -> None:
    friend = await account(world, "friend", "family")
    node = await world.node()
    await world.ask()
    theirs = await world.ask(account=friend)
    assert names(await node.call(slots=8, share_with="groups", groups=("family", "lab"))) == [theirs]


async def test_groups_that_change_count_from_the_next_look_on(world: World) -> None:
    friend = await account(world, "friend")
    node, _ = await world.node(), await world.node()
    theirs = await world.ask(account=friend)
    assert names(await node.call(share_with="groups", groups=("family",))) == []
    await world.store.write(lambda tx: auth.set_groups(tx, "friend", "family"))
    assert names(await node.call(share_with="groups", groups=("family",))) == [theirs]


async def test_a_node_that_nobody_could_ever_be_served_by_is_told_why(world: World) -> None:
    node = await world.node()
    assert (await node.call(**OWN)).none_because == {"no_account": 1}
    assert (await node.call(share_with="groups", groups=("family",))).none_because == {"no_group": 1}
    mine = await own_node(world)
    assert (await mine.call(**OWN)).none_because == {}
    assert (await mine.call(share_with="groups", groups=("family",))).none_because == {}


@pytest.mark.parametrize("groups", [(), ("family",), ("lab", "family"), ("club",)])
async def test_a_node_that_names_groups_gets_nothing_that_it_would_not_get_without(
    world: World, groups: tuple[str, ...]
) -> None:
    friend = await account(world, "friend", "family")
    liar, honest = await world.node(), await world.node()
    for who in (friend, world.account.id):
        await world.ask(account=who)
    given = names(await liar.call(slots=8, share_with="groups", groups=groups))
    assert len(given) == (1 if "family" in groups else 0)
    rest = names(await honest.call(slots=8))
    assert sorted(given + rest) == sorted({*given, *rest})
    assert len(given + rest) == 2


async def test_own_jobs_come_first_whomever_one_shares_with(world: World) -> None:
    other = await account(world, "other", "family")
    ways: list[dict[str, Any]] = [{}, {"share_with": "groups", "groups": ("family",)}]
    for how in ways:
        node = await own_node(world)
        await node.call(**how)
        theirs = await world.ask(account=other)
        world.clock.now += 5
        mine, urgent = await world.ask(), await world.ask(account=other, priority=Priority.CRITICAL)
        leases = [names(await node.call(**how)) for _ in range(3)]
        assert leases == [[urgent], [mine], [theirs]]


async def test_an_own_node_that_is_full_leaves_the_job_to_others(world: World) -> None:
    full, shared = await own_node(world), await world.node()
    await full.call()
    first, second = await world.ask(), await world.ask()
    assert names(await full.call()) == [first]
    assert names(await shared.call()) == [second]


# --- by kind of work -------------------------------------------------------------------------------------------------


async def test_a_kind_of_work_that_a_node_takes_none_of_is_never_given(world: World) -> None:
    node, _ = await world.node(), await world.node()
    await world.ask()
    batch = await world.ask(priority=Priority.BATCH)
    assert names(await node.call(slots=4, work=("batch", "embedding"))) == [batch]
    assert (await node.call(slots=4, work=("batch",))).none_because == {"limit": 1}


async def test_no_more_of_a_kind_is_given_than_was_asked_for(world: World) -> None:
    node = await world.node()
    chats = [await world.ask() for _ in range(3)]
    batch = await world.ask(priority=Priority.BATCH)
    given = names(await node.call(slots=8, work_free={"chat": 2}))
    assert sorted(given) == sorted([*chats[:2], batch])
    assert names(await node.call(slots=8, work_free={"chat": 0})) == []
    assert names(await node.call(slots=8)) == chats[2:]


# --- what a submitter hears ------------------------------------------------------------------------------------------


async def test_a_request_that_no_node_would_take_from_this_account_is_refused_at_once(world: World) -> None:
    friend = await account(world, "friend", "family")
    node = await own_node(world, "friend")
    await node.call(**OWN)
    with pytest.raises(Unservable, match="shares with your account"):
        await world.ask()
    await world.ask(account=friend)
    cousin = await account(world, "cousin", "family")
    with pytest.raises(Unservable, match="shares with your account"):
        await world.ask(account=cousin)
    await node.call(share_with="groups", groups=("family",))
    await world.ask(account=cousin)


async def test_a_request_of_a_kind_that_no_node_takes_is_refused_at_once(world: World) -> None:
    node = await own_node(world)
    await node.call(work=("batch",))
    with pytest.raises(Unservable, match="takes chat work"):
        await world.ask()
    with pytest.raises(Unservable, match="takes embedding work"):
        await world.ask(kind=JobKind.EMBEDDING, priority=Priority.BATCH)
    await world.ask(priority=Priority.BATCH)


async def test_a_limit_that_is_reached_now_refuses_no_request(world: World) -> None:
    node = await own_node(world)
    await node.call(work_free={"chat": 0})
    await world.ask()


@pytest.mark.parametrize("how", [OWN, {"work": ("embedding",)}])
async def test_a_node_is_not_passed_by_for_one_that_would_not_take_the_job(world: World, how: dict[str, Any]) -> None:
    node, other = await world.node(), await world.node()
    await world.ask()
    await node.say(await node.lease(), "a", end=Fault(kind=FaultKind.WORKER, message="died"))
    await other.call(**how)
    assert len((await node.call()).leases) == 1


async def test_what_a_node_said_last_is_kept_over_a_restart(world: World) -> None:
    node = await own_node(world)
    await node.call(work=("batch",), share_with="groups", groups=("family",))
    await world.store.write(lambda tx: tx.put(node.record))
    again = await world.restart()
    (known,) = again.grid.presence.known(world.clock.now)
    assert (known.account, known.work, known.share_with, known.groups, known.models) == (
        world.account.id,
        (Work.BATCH,),
        ShareWith.GROUPS,
        ("family",),
        (MODEL,),
    )
