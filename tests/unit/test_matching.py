"""Who gets which job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.coordinator.matching import AVOID_S, MAX_LEAD_S, Offer, match, place
from gogrid_desktop.coordinator.store.records import JobRecord
from gogrid_desktop.core.lease import Job
from gogrid_desktop.protocol.grid import JobKind, Priority, Work

NOW = 100.0


def job(
    name: str = "r.0",
    model: str = "m",
    kind: JobKind = JobKind.CHAT,
    account: str = "acc",
    priority: Priority = Priority.NORMAL,
    **other: object,
) -> JobRecord:
    it = Job(name, deadline=1e6, max_tokens=9, prompt_bytes=9, **other)  # type: ignore[arg-type]
    return JobRecord(it, "r", 0, account, kind, model, priority, 0.0)


def offer(node: str = "n", free: int = 1, **other: object) -> Offer:
    models = frozenset({"m"})
    base = Offer(node, "p", free, frozenset(), models, frozenset({JobKind.CHAT}), 100)
    return replace(base, **other)  # type: ignore[arg-type]


def whole(offers: list[Offer], jobs: list[JobRecord], elsewhere: bool = True) -> list[tuple[JobRecord, Offer]]:
    """The match of a queue that is read as it stands."""

    def own(account: str, priority: Priority) -> list[JobRecord]:
        return [one for one in jobs if (one.account, one.priority) == (account, priority)]

    return match(offers, jobs, NOW, lambda _: elsewhere, own)


def pairs(offers: list[Offer], jobs: list[JobRecord], elsewhere: bool = True) -> list[tuple[str, str]]:
    return [(record.id, one.node) for record, one in whole(offers, jobs, elsewhere)]


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (job(model="x"), "model"),
        (job(kind=JobKind.EMBEDDING), "kind"),
        (job(needs_context=101), "context"),
        (job(prompt_tokens=90, tokens=10), "context"),
        (job(avoid=("n",), not_before=NOW), "avoided"),
        (job(account="stranger"), "share"),
        (job(priority=Priority.BATCH), "limit"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(record: JobRecord, why: str) -> None:
    one = offer(accounts=frozenset({"acc"}), left={Work.BATCH: 0})
    assert pairs([one], [record]) == []
    assert one.why_not == {why: 1}


def test_what_just_fits_is_taken() -> None:
    assert pairs([offer()], [job(needs_context=100, prompt_tokens=89, tokens=10)]) == [("r.0", "n")]


def test_a_node_to_avoid_gets_the_job_after_a_while_or_when_it_is_the_only_one() -> None:
    avoided = job(avoid=("n",), not_before=NOW)
    assert pairs([offer()], [avoided], elsewhere=False) == [("r.0", "n")]
    assert pairs([offer()], [job(avoid=("n",), not_before=NOW - AVOID_S)]) == [("r.0", "n")]


def test_a_suspect_takes_an_empty_node_for_itself() -> None:
    suspect, plain = job("r.0", suspect=True), job("r.1")
    assert pairs([offer(free=4)], [suspect, plain]) == [("r.0", "n")]
    assert pairs([offer(free=4, running=1)], [suspect, plain]) == [("r.1", "n")]
    assert pairs([offer(free=4)], [plain, suspect]) == [("r.1", "n")]
    assert pairs([offer(free=4, alone=True)], [plain]) == []


def test_a_loaded_model_wins_then_the_emptier_node() -> None:
    loaded = offer("loaded", free=1, resident=frozenset({"m"}), running=3)
    empty, busy = offer("empty", free=4), offer("busy", free=4, running=2)
    jobs = [job(f"r.{index}") for index in range(3)]
    assert [node for _, node in pairs([busy, empty, loaded], jobs)] == ["loaded", "empty", "empty"]


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=5),
    st.lists(st.tuples(st.booleans(), st.sampled_from(["m", "x"])), max_size=12),
)
def test_no_job_is_given_twice_and_no_node_gets_more_than_it_asked_for(
    nodes: list[tuple[int, int]], wanted: list[tuple[bool, str]]
) -> None:
    offers = [offer(f"n{index}", free=free, running=running) for index, (free, running) in enumerate(nodes)]
    jobs = [job(f"r.{index}", model=model, suspect=suspect) for index, (suspect, model) in enumerate(wanted)]
    given_out = match(offers, jobs, NOW, lambda _: True)
    names = [record.id for record, _ in given_out]
    assert len(names) == len(set(names))
    for one, (free, running) in zip(offers, nodes, strict=True):
        mine = [record for record, to in given_out if to is one]
        assert len(mine) <= free
        if any(record.job.suspect for record in mine):
            assert (len(mine), running) == (1, 0)
    assert all(record.model == "m" for record, _ in given_out)


# --- whose work ------------------------------------------------------------------------------------------------------


def test_a_limit_holds_for_its_kind_of_work_alone() -> None:
    jobs = [job(f"r.{index}") for index in range(3)] + [job("b.0", priority=Priority.BATCH)]
    assert pairs([offer(free=4, left={Work.CHAT: 1})], jobs) == [("r.0", "n"), ("b.0", "n")]


def test_own_jobs_go_before_those_of_others_of_the_same_priority() -> None:
    jobs = [job("other"), job("mine", account="me"), job("late", account="me")]
    assert pairs([offer(free=1, account="me")], jobs) == [("mine", "n")]
    assert pairs([offer(free=3, account="me")], jobs) == [("mine", "n"), ("late", "n"), ("other", "n")]
    assert pairs([offer(free=1)], jobs) == [("other", "n")]


def test_own_jobs_do_not_go_before_those_of_another_priority() -> None:
    urgent = job("urgent", priority=Priority.HIGH)
    jobs = [urgent, job("other"), job("mine", account="me"), job("slow", account="me", priority=Priority.LOW)]
    assert pairs([offer(free=2, account="me")], jobs) == [("urgent", "n"), ("mine", "n")]


def test_an_own_job_that_does_not_fit_holds_nobody_up() -> None:
    jobs = [job("other"), job("long", account="me", needs_context=101)]
    assert pairs([offer(account="me")], jobs) == [("other", "n")]


def test_whoever_is_passed_by_at_one_node_keeps_the_place_at_the_others() -> None:
    jobs = [job("other"), job("mine", account="me"), job("next")]
    mine, shared = offer("mine", account="me"), offer("shared", running=1)
    assert pairs([mine, shared], jobs) == [("mine", "mine"), ("other", "shared")]


KINDS_OF_WORK = st.sampled_from([(JobKind.CHAT, Priority.NORMAL), (JobKind.CHAT, Priority.BATCH)]) | st.sampled_from(
    [(JobKind.COMPLETION, Priority.NORMAL), (JobKind.EMBEDDING, Priority.BATCH)]
)
WHO = st.sampled_from(["a", "b", "c"])
NODES = st.fixed_dictionaries(
    {
        "free": st.integers(1, 4),
        "account": st.none() | WHO,
        "accounts": st.none() | st.frozensets(WHO),
        "left": st.dictionaries(st.sampled_from(list(Work)), st.integers(0, 3)),
    }
)


@given(st.lists(NODES, min_size=1, max_size=4), st.lists(st.tuples(WHO, KINDS_OF_WORK, st.booleans()), max_size=14))
def test_nothing_is_given_outside_the_limits_of_a_node(
    nodes: list[dict[str, Any]], wanted: list[tuple[str, tuple[JobKind, Priority], bool]]
) -> None:
    offers = [
        offer(f"n{index}", kinds=frozenset(JobKind), **{**node, "left": dict(node["left"])})
        for index, node in enumerate(nodes)
    ]
    jobs = [
        job(f"r.{index}", account=account, kind=kind, priority=priority, suspect=suspect)
        for index, (account, (kind, priority), suspect) in enumerate(wanted)
    ]
    given_out = whole(offers, jobs)
    names = [record.id for record, _ in given_out]
    assert len(names) == len(set(names))
    for one, node in zip(offers, nodes, strict=True):
        mine = [record for record, to in given_out if to is one]
        assert len(mine) <= node["free"]
        for work, most in node["left"].items():
            assert sum(record.work is work for record in mine) <= most
        assert node["accounts"] is None or all(record.account in node["accounts"] for record in mine)
        if any(record.job.suspect for record in mine):
            assert len(mine) == 1


@given(
    st.lists(st.tuples(st.integers(1, 3), st.none() | WHO), min_size=1, max_size=4),
    st.lists(st.tuples(WHO, st.sampled_from([Priority.NORMAL, Priority.LOW])), max_size=14),
)
def test_no_node_serves_another_while_a_job_of_its_own_account_and_the_same_priority_waits(
    nodes: list[tuple[int, str | None]], wanted: list[tuple[str, Priority]]
) -> None:
    offers = [offer(f"n{index}", free=free, account=account) for index, (free, account) in enumerate(nodes)]
    jobs = [job(f"r.{index}", account=account, priority=priority) for index, (account, priority) in enumerate(wanted)]
    given_out = whole(offers, jobs)
    assert len(given_out) == min(len(jobs), sum(free for free, _ in nodes))
    served = {record.id for record, _ in given_out}
    left = {(one.account, one.priority) for one in jobs if one.id not in served}
    for record, to in given_out:
        assert record.account == to.account or (to.account, record.priority) not in left


@given(st.lists(st.tuples(WHO, st.sampled_from([Priority.NORMAL, Priority.LOW])), max_size=14), st.integers(1, 8))
def test_the_order_among_jobs_of_others_stays_as_it_is(wanted: list[tuple[str, Priority]], free: int) -> None:
    jobs = [job(f"{index:02}", account=account, priority=priority) for index, (account, priority) in enumerate(wanted)]
    given_out = whole([offer(free=free, account="a")], jobs)
    for mine in (True, False):
        for priority in (Priority.NORMAL, Priority.LOW):
            those = [r.id for r, _ in given_out if (r.account == "a") is mine and r.priority is priority]
            assert those == [r.id for r in jobs if (r.account == "a") is mine and r.priority is priority][: len(those)]


def test_the_order_is_priority_then_age_with_an_end_to_both() -> None:
    places = [place(one, 600.0, 5.0, 0.0, NOW)[0] for one in Priority]
    assert places == sorted(places)
    assert place(Priority.LOW, 600.0, 5.0, 0.0, NOW)[0] < place(Priority.CRITICAL, 600.0, 5.0, 0.0, NOW + 301)[0]


def test_an_account_is_charged_for_what_it_asks_but_never_put_out_of_reach() -> None:
    assert place(Priority.CRITICAL, 600.0, 5.0, 0.0, NOW) == (NOW, NOW + 5.0)
    assert place(Priority.CRITICAL, 600.0, 5.0, NOW + 5.0, NOW) == (NOW + 5.0, NOW + 10.0)
    assert place(Priority.CRITICAL, 600.0, 5.0, NOW + 1e9, NOW)[0] == NOW + MAX_LEAD_S


def test_a_batch_waits_for_its_window_less_twice_its_time() -> None:
    assert place(Priority.BATCH, 3600.0, 60.0, 0.0, NOW)[0] == NOW + 3480.0
    assert place(Priority.BATCH, 60.0, 60.0, 0.0, NOW)[0] == NOW
