"""What of the person's limits goes into a lease call."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.agent.leasing import Offer
from gogrid_desktop.agent.lending import Lending, lending, nobody
from gogrid_desktop.agent.outbox import HeldJob
from gogrid_desktop.config.settings import Settings, WorkLimits
from gogrid_desktop.config.store import change
from gogrid_desktop.protocol import grid as g

USUAL = WorkLimits()


def held(priority: g.Priority = g.Priority.NORMAL, kind: g.JobKind = g.JobKind.CHAT) -> HeldJob:
    params = g.SamplingParams(max_tokens=9)
    job = g.Job(id="j", kind=kind, model="b" * 64, rendered_at=0.0, params=params, deadline=1e9, priority=priority)
    return HeldJob(g.Lease(id="l", fence=1, job=job))


def limits(**values: object) -> WorkLimits:
    return change(Settings(), {f"work.{name}": value for name, value in values.items()}).work


@given(st.integers(0, 64), st.integers(0, 64))
def test_the_defaults_limit_nothing_however_many_are_held(slots: int, jobs: int) -> None:
    slots = min(slots, 64 - jobs)
    assert lending(USUAL, [held()] * jobs, slots) == Lending()
    assert Lending().slots(slots) == slots


def test_what_runs_is_taken_off_its_own_kind_alone() -> None:
    lent = lending(limits(chat=2, batch=3), [held(), held(g.Priority.BATCH)], 6)
    assert lent.free == {g.Work.CHAT: 1, g.Work.BATCH: 2}
    assert lent.work == tuple(g.Work)


def test_a_limit_below_what_runs_leaves_none_and_not_less() -> None:
    assert lending(limits(chat=1), [held(), held()], 6).free == {g.Work.CHAT: 0}


def test_work_with_a_limit_of_none_is_not_taken() -> None:
    assert lending(limits(batch=0, embedding=0), [], 6).work == (g.Work.CHAT,)


def test_no_slot_is_asked_for_that_no_work_may_fill() -> None:
    assert lending(limits(chat=2, batch=1, embedding=0), [held()], 6).slots(6) == 2
    assert lending(limits(chat=1, batch=0, embedding=0), [held()], 6).slots(6) == 0
    assert lending(limits(chat=0, batch=0, embedding=0), [], 6).slots(6) == 0


def test_groups_are_sent_only_where_one_shares_with_groups() -> None:
    assert lending(limits(groups="lab"), [], 1).groups == ()
    assert lending(limits(groups="lab", share_with="own"), [], 1).whose == (g.ShareWith.OWN, ())
    assert lending(limits(groups="lab", share_with="groups"), [], 1).whose == (g.ShareWith.GROUPS, ("lab",))


# --- which offers end an open call -----------------------------------------------------------------------------------

BEFORE = Offer(4, lending=Lending(free={g.Work.CHAT: 0, g.Work.BATCH: 2}))


@pytest.mark.parametrize(
    ("free", "kept"),
    [
        ({g.Work.CHAT: 0, g.Work.BATCH: 2}, True),
        ({g.Work.CHAT: 0, g.Work.BATCH: 3}, True),
        ({g.Work.CHAT: 0}, True),
        ({g.Work.CHAT: 0, g.Work.BATCH: 1}, False),
        ({g.Work.CHAT: 1, g.Work.BATCH: 2}, False),
        ({g.Work.CHAT: 0, g.Work.BATCH: 2, g.Work.EMBEDDING: 3}, False),
    ],
)
def test_a_call_stands_until_it_would_give_too_much_or_miss_a_kind_of_work(free: dict[g.Work, int], kept: bool) -> None:
    assert replace(BEFORE, lending=Lending(free=free)).keeps(BEFORE) is kept


def test_a_call_ends_when_it_would_serve_others_than_it_may() -> None:
    assert not replace(BEFORE, lending=replace(BEFORE.lending, share_with=g.ShareWith.OWN)).keeps(BEFORE)
    assert not replace(BEFORE, lending=replace(BEFORE.lending, work=(g.Work.BATCH,))).keeps(replace(BEFORE, slots=5))
    assert replace(BEFORE, slots=5).keeps(BEFORE)
    assert not replace(BEFORE, slots=3).keeps(BEFORE)


# --- the call itself -------------------------------------------------------------------------------------------------


def test_a_call_without_limits_is_one_that_older_coordinators_know() -> None:
    call = g.LeaseCall(poll="p", slots=1, context=1)
    assert not {"work", "work_free", "share_with", "groups"} & call.model_dump(mode="json").keys()
    assert g.LeaseCall.model_validate_json(call.model_dump_json()) == call


def test_a_call_with_limits_says_them() -> None:
    call = g.LeaseCall(
        poll="p",
        slots=1,
        context=1,
        work=(g.Work.CHAT,),
        work_free={g.Work.CHAT: 1},
        share_with=g.ShareWith.GROUPS,
        groups=("lab",),
    )
    said = call.model_dump(mode="json")
    assert (said["work"], said["work_free"], said["share_with"], said["groups"]) == (
        ["chat"],
        {"chat": 1},
        "groups",
        ["lab"],
    )
    assert g.LeaseCall.model_validate_json(call.model_dump_json()) == call


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("some", "because", "words"),
    [
        ({}, {"model"}, ""),
        ({"share_with": "own"}, {"share"}, ""),
        ({"share_with": "own"}, {g.NO_ACCOUNT}, "joined without an account: ask the operator for an invite"),
        ({"share_with": "groups", "groups": "lab"}, {g.NO_GROUP}, "(work.groups = 'lab'): ask the operator"),
        ({"share_with": "everyone"}, {g.NO_ACCOUNT, g.NO_GROUP}, ""),
        ({"chat": 0, "batch": 0, "embedding": 0}, set(), "work.chat, work.batch and work.embedding are all 0"),
    ],
)
def test_the_person_is_told_when_no_job_can_come(some: dict[str, object], because: set[str], words: str) -> None:
    said = nobody(limits(**some), because)
    assert words in said
    assert bool(said) is bool(words)
