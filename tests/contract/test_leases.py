"""The same stories of leases, on every store."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from fixtures_grid import MODEL, OTHER_MODEL, PROMPT, World, complete, release, said

from gogrid_desktop.coordinator.ports import IdempotencyConflict, Unservable
from gogrid_desktop.coordinator.store.records import (
    AccountRecord,
    ChunkRecord,
    JobRecord,
    RequestRecord,
    VerdictRecord,
)
from gogrid_desktop.core.lease import JobState
from gogrid_desktop.protocol.grid import (
    Fault,
    FaultKind,
    Have,
    Message,
    Priority,
    Rejected,
    ReleaseReason,
    SamplingParams,
    Verdict,
)


async def test_a_request_is_leased_answered_and_read(world: World) -> None:
    node, request = await world.node(), await world.ask()
    lease = await node.lease()
    assert lease.job.messages == (Message(role="user", content=PROMPT),)
    assert await node.say(lease, "Hé", "llo") == (Verdict.RENEWED, Have(tokens=2, bytes=6))
    verdict, _ = await node.say(lease, " you", at=Have(tokens=2, bytes=6), end=complete(3, 10))
    assert verdict is Verdict.DONE
    view = await world.view(request, ledger=True)
    (choice,) = view.choices
    assert (choice.text, choice.state, choice.tokens, choice.prompt_tokens) == ("Héllo you", JobState.COMPLETED, 3, 5)
    assert [(one.tokens_before, one.tokens, one.bytes_before, one.bytes) for one in choice.ledger] == [
        (0, 1, 0, 3),
        (1, 1, 3, 3),
        (2, 1, 6, 4),
    ]
    assert view.ended


@pytest.mark.parametrize(("after", "text"), [(0, "Héllo"), (1, "éllo"), (3, "llo"), (6, ""), (99, ""), (2, "llo")])
async def test_a_view_goes_on_from_a_byte(world: World, after: int, text: str) -> None:
    node, request = await world.node(), await world.ask()
    await node.say(await node.lease(), "H", "é", "l", "lo")
    (choice,) = (await world.view(request, after)).choices
    assert choice.text == text
    assert choice.text_from + len(choice.text.encode()) == choice.bytes == 6


async def test_another_account_sees_nothing(world: World) -> None:
    await world.node()
    request = await world.ask()
    assert await world.desk.view(request, "someone else") is None


async def test_one_job_goes_to_one_of_many_waiting_nodes(world: World) -> None:
    nodes = [await world.node(f"n{index}") for index in range(5)]
    await world.ask()
    answers = await asyncio.gather(*(node.call(slots=3) for node in nodes))
    assert sum(len(answer.leases) for answer in answers) == 1


async def test_a_waiting_call_is_answered_when_work_comes(world: World) -> None:
    node = await world.node()
    serving = asyncio.create_task(world.matchmaker.run())
    calling = asyncio.create_task(node.call(wait_s=30.0))
    while not world.matchmaker._waiting:
        await asyncio.sleep(0)
    await world.ask()
    assert len((await calling).leases) == 1
    serving.cancel()


async def test_a_newer_call_of_the_same_node_closes_the_older(world: World) -> None:
    node = await world.node()
    older = asyncio.create_task(node.call(wait_s=30.0))
    while not world.matchmaker._waiting:
        await asyncio.sleep(0)
    newer = asyncio.create_task(node.call())
    assert (await older).none_because == {"newer_poll": 1}
    assert (await newer).leases == ()


async def test_a_stop_answers_all_waiting_calls(world: World) -> None:
    node = await world.node()
    waiting = asyncio.create_task(node.call(wait_s=30.0))
    while not world.matchmaker._waiting:
        await asyncio.sleep(0)
    world.matchmaker.close()
    assert (await waiting).none_because == {"stopping": 1}
    assert (await node.call(wait_s=30.0)).leases == ()


async def test_an_empty_answer_says_why(world: World) -> None:
    node, other = await world.node(), await world.node()
    await other.call(models_on_disk=(OTHER_MODEL,))
    await world.ask()
    await world.ask(model=OTHER_MODEL)
    assert (await node.call(kinds=("embedding",))).none_because == {"kind": 1, "model": 1}


async def test_leases_fill_the_free_slots_in_order(world: World) -> None:
    node = await world.node()
    slow = await world.ask(priority=Priority.LOW)
    usual = await world.ask()
    first = await world.ask(priority=Priority.CRITICAL)
    leases = (await node.call(slots=2)).leases
    assert [lease.job.id for lease in leases] == [f"{first}.0", f"{usual}.0"]
    assert [lease.job.id for lease in (await node.call(slots=2)).leases] == [f"{slow}.0"]


async def test_a_repeated_end_is_answered_as_the_first_time(world: World) -> None:
    node, request = await world.node(), await world.ask()
    lease = await node.lease()
    ending = said(lease, "a", "b", end=complete(2, 2))
    first = await node.report(ending)
    again = await node.report(ending)
    assert first == again
    (choice,) = (await world.view(request)).choices
    assert choice.text == "ab"


async def test_a_repeated_release_is_answered_as_the_first_time_even_when_another_has_the_job(world: World) -> None:
    node, other = await world.node(), await world.node()
    await world.ask()
    ending = said(await node.lease(), "a", end=release())
    first = await node.report(ending)
    await world.pass_time(2)
    await other.say(await other.lease(), "b", at=Have(tokens=1, bytes=1))
    assert await node.report(ending) == first


async def test_verdicts_are_forgotten_after_a_day(world: World) -> None:
    node = await world.node()
    await world.ask()
    await node.say(await node.lease(), "a", end=complete(1, 1))
    await world.pass_time(60)
    assert await world.store.read(lambda tx: len(tx.find(VerdictRecord))) == 1
    world.grid.settings = replace(world.settings, verdicts_kept_s=30.0)
    await world.pass_time(2)
    assert await world.store.read(lambda tx: tx.find(VerdictRecord)) == []


async def test_another_node_goes_on_from_the_tokens(world: World) -> None:
    node, other = await world.node(), await world.node()
    request = await world.ask()
    await node.say(await node.lease(), "one ", "two ", end=release())
    lease = await other.lease()
    assert lease.job.have == Have(tokens=2, bytes=8)
    assert lease.job.token_ids == (100, 101)
    assert (lease.job.prompt_tokens, lease.job.prompt_hash) == (5, "h")
    await other.say(lease, "three", end=complete(3, 13))
    (choice,) = (await world.view(request, ledger=True)).choices
    assert choice.text == "one two three"
    assert [entry.node for entry in choice.ledger] == [node.id, node.id, other.id]
    assert [entry.fence for entry in choice.ledger] == [1, 1, 2]


async def test_a_silent_node_loses_its_lease_after_twenty_seconds(world: World) -> None:
    node, other = await world.node(), await world.node()
    await world.ask()
    old = await node.lease()
    await node.say(old, "a")
    await world.pass_time(18)
    assert (await other.call()).leases == ()
    await world.pass_time(4)
    new = await other.lease()
    assert new.job.have == Have(tokens=1, bytes=1)
    assert await node.say(old, "b", at=Have(tokens=1, bytes=1)) == (Verdict.LOST, Have(tokens=1, bytes=1))


async def test_a_heartbeat_keeps_the_lease_without_writing(world: World) -> None:
    node, request = await world.node(), await world.ask()
    lease = await node.lease()

    async def no_write(work: object) -> None:
        raise AssertionError("a heartbeat wrote")

    for _ in range(10):
        await world.desk.touch_reader(request)
        await world.pass_time(6)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(world.store, "write", no_write)
            (verdict,) = (await node.report(held=(lease.id,))).verdicts
        assert verdict.verdict is Verdict.RENEWED


async def test_a_report_that_comes_too_late_takes_a_queued_job_back(world: World) -> None:
    node, request = await world.node(), await world.ask()
    lease = await node.lease()
    await world.pass_time(22)
    assert (await world.view(request)).choices[0].state is JobState.QUEUED
    assert await node.say(lease, "a") == (Verdict.RENEWED, Have(tokens=1, bytes=1))
    assert (await world.view(request)).choices[0].state is JobState.LEASED


async def test_a_heartbeat_that_comes_too_late_takes_a_queued_job_back(world: World) -> None:
    node, request = await world.node(), await world.ask()
    lease = await node.lease()
    await world.pass_time(22)
    (verdict,) = (await node.report(held=(lease.id,))).verdicts
    assert verdict.verdict is Verdict.RENEWED
    assert (await world.view(request)).choices[0].state is JobState.LEASED


async def test_a_lease_that_did_not_arrive_is_queued_at_once(world: World) -> None:
    node, request = await world.node(), await world.ask()
    lost = await node.lease()
    await node.report()
    assert (await world.view(request)).choices[0].state is JobState.LEASED
    await node.call()
    await node.report()
    assert (await world.view(request)).choices[0].state is JobState.QUEUED
    again = await node.lease()
    assert (again.job.id, again.fence) == (lost.job.id, lost.fence + 1)


async def test_a_late_report_of_an_older_poll_does_not_call_a_newer_lease_lost(world: World) -> None:
    node, request = await world.node(), await world.ask()
    await node.call(models_on_disk=(OTHER_MODEL,))
    older = node.poll
    await node.lease()
    await node.report(poll=older)
    assert (await world.view(request)).choices[0].state is JobState.LEASED


async def test_unknown_and_foreign_leases_are_lost(world: World) -> None:
    node, other = await world.node(), await world.node()
    await world.ask()
    lease = await node.lease()
    verdict, _ = await other.say(lease, "forged")
    assert verdict is Verdict.LOST
    strange = await node.report(held=("nonsense", "no.0.such", f"{lease.job.id}.x", lease.id))
    assert [one.verdict for one in strange.verdicts] == [Verdict.LOST, Verdict.LOST, Verdict.LOST, Verdict.RENEWED]


async def test_a_faulty_node_is_avoided_while_another_serves(world: World) -> None:
    node, other = await world.node(), await world.node()
    await world.ask()
    await node.say(await node.lease(), "a", end=Fault(kind=FaultKind.WORKER, message="died"))
    assert (await node.call()).none_because == {"avoided": 1}
    assert (await other.lease()).job.have.tokens == 1


async def test_a_lonely_node_gets_its_job_back_at_once(world: World) -> None:
    node = await world.node()
    await world.ask()
    await node.say(await node.lease(), "a", end=Fault(kind=FaultKind.WORKER, message="died"))
    assert (await node.lease()).job.have.tokens == 1


async def test_a_suspect_runs_alone_and_nothing_joins_it(world: World) -> None:
    node, idle = await world.node(), await world.node()
    first, second = await world.ask(), await world.ask()
    suspect, good = (await node.call(slots=2)).leases
    await node.say(suspect, end=Fault(kind=FaultKind.SUSPECT, message="SIGSEGV"))
    await world.pass_time(4)
    await node.report(held=(good.id,))
    assert (await node.call(slots=3)).none_because == {"alone": 1}
    lease = await idle.lease(slots=3)
    assert lease.alone
    await world.ask()
    assert (await idle.call(slots=2)).none_because == {"alone": 1}
    assert {suspect.job.id, good.job.id} == {f"{first}.0", f"{second}.0"}


async def test_poison_fails_after_two_nodes(world: World) -> None:
    node, other = await world.node(), await world.node()
    request = await world.ask()
    for one in (node, other):
        await one.say(await one.lease(), end=Fault(kind=FaultKind.JOB, message="step failed"))
        await world.pass_time(3)
    (choice,) = (await world.view(request)).choices
    assert choice.state is JobState.FAILED
    assert choice.error is not None
    assert choice.error.code == "job_failed"


async def test_a_job_that_needs_context_goes_where_there_is_some(world: World) -> None:
    node, large = await world.node(), await world.node()
    await world.ask()
    lease = await node.lease(context=512)
    await node.say(lease, end=release(ReleaseReason.NEEDS_CONTEXT, 600))
    await world.pass_time(2)
    assert (await node.call(context=512)).none_because == {"context": 1}
    assert (await large.lease(context=600)).job.id == lease.job.id


async def test_a_rejection_reaches_the_submitter_in_the_nodes_words(world: World) -> None:
    node, request = await world.node(), await world.ask()
    words = "The prompt has 5000 tokens."
    await node.say(await node.lease(), end=Rejected(code="context_length_exceeded", param="messages", message=words))
    (choice,) = (await world.view(request)).choices
    assert choice.error is not None
    assert (choice.error.status, choice.error.param, choice.error.message) == (400, "messages", words)
    (record,) = await world.store.read(lambda tx: tx.find(JobRecord, request=request))
    assert words not in repr(record)


async def test_a_passed_deadline_ends_the_request_and_tells_the_node(world: World) -> None:
    node = await world.node()
    request = await world.ask(deadline_s=10.0)
    lease = await node.lease()
    await world.pass_time(12)
    (choice,) = (await world.view(request)).choices
    assert choice.state is JobState.EXPIRED
    verdict, _ = await node.say(lease, "late")
    assert verdict is Verdict.CANCELLED


async def test_a_request_that_nobody_reads_is_cancelled(world: World) -> None:
    node = await world.node()
    left, read, patient = await world.ask(), await world.ask(), await world.ask(idempotency_key="k")
    lease = await node.lease()
    for _ in range(7):
        await world.desk.touch_reader(read)
        await node.report(held=(lease.id,))
        await world.pass_time(6)
    states = [(await world.view(request)).choices[0].state for request in (left, read, patient)]
    assert states == [JobState.CANCELLED, JobState.QUEUED, JobState.QUEUED]
    verdict, _ = await node.say(lease, "too late")
    assert verdict is Verdict.CANCELLED


async def test_cancelling_ends_what_has_not_ended(world: World) -> None:
    node = await world.node()
    request = await world.ask(params=(SamplingParams(max_tokens=5), SamplingParams(max_tokens=5, choice=1)))
    first, second = (await node.call(slots=2)).leases
    await node.say(first, "a", end=complete(1, 1))
    await world.desk.cancel(request)
    view = await world.view(request)
    assert [choice.state for choice in view.choices] == [JobState.COMPLETED, JobState.CANCELLED]
    assert view.ended
    verdict, _ = await node.say(second, "b")
    assert verdict is Verdict.CANCELLED


async def test_a_request_goes_on_until_its_last_choice_has_ended(world: World) -> None:
    node = await world.node()
    request = await world.ask(params=(SamplingParams(max_tokens=5), SamplingParams(max_tokens=5, choice=1)))
    first, second = (await node.call(slots=2)).leases
    await node.say(first, "a", end=complete(1, 1))
    assert not (await world.view(request)).ended
    for _ in range(10):
        await node.report(held=(second.id,))
        await world.pass_time(4)
    assert [choice.state for choice in (await world.view(request)).choices] == [
        JobState.COMPLETED,
        JobState.CANCELLED,
    ]


async def test_no_known_node_means_unservable(world: World) -> None:
    with pytest.raises(Unservable):
        await world.ask()
    await world.node()
    await world.ask()
    world.clock.now += 901
    with pytest.raises(Unservable):
        await world.ask()


async def test_an_idempotency_key_gives_the_same_request_until_its_text_is_gone(world: World) -> None:
    node = await world.node()
    first = await world.ask(idempotency_key="k", body_hash="x")
    assert await world.ask(idempotency_key="k", body_hash="x") == first
    with pytest.raises(IdempotencyConflict):
        await world.ask(idempotency_key="k", body_hash="y")
    await node.say(await node.lease(), "a", end=complete(1, 1))
    await world.pass_time(604)
    assert await world.ask(idempotency_key="k", body_hash="y") != first


async def test_texts_go_ten_minutes_after_the_end_and_counts_stay(world: World) -> None:
    node, request = await world.node(), await world.ask()
    await node.say(await node.lease(), "the answer", end=complete(1, 10))
    await world.pass_time(598)
    assert (await world.view(request)).choices[0].text == "the answer"
    await world.pass_time(6)
    (choice,) = (await world.view(request, ledger=True)).choices
    assert (choice.text, choice.tokens, choice.bytes, len(choice.ledger)) == ("", 1, 10, 1)
    (record,) = await world.store.read(lambda tx: tx.find(RequestRecord))
    (chunk,) = await world.store.read(lambda tx: tx.find(ChunkRecord))
    assert (record.body, chunk.text, chunk.token_ids) == (None, None, None)


async def test_nothing_that_people_wrote_is_stored_in_the_clear(world: World) -> None:
    node = await world.node()
    await world.ask()
    await node.say(await node.lease(), "the secret answer")
    for kind in (RequestRecord, JobRecord, ChunkRecord):
        stored = await world.store.read(lambda tx, kind=kind: repr(tx.find(kind)))
        assert "secret" not in stored


async def test_an_outage_is_nobodys_fault(world: World) -> None:
    node = await world.node()
    request = await world.ask(deadline_s=60.0)
    lease = await node.lease()
    await node.say(lease, "a")
    again = await world.restart(away_s=3600.0)
    assert (await again.view(request)).choices[0].state is JobState.LEASED
    node.world = again
    again.grid.presence.saw(node.record, again.clock.now)
    assert await node.say(lease, "b", at=Have(tokens=1, bytes=1)) == (Verdict.RENEWED, Have(tokens=2, bytes=2))
    for _ in range(8):
        await again.desk.touch_reader(request)
        await node.report(held=(lease.id,))
        await again.pass_time(6)
    assert (await again.view(request)).choices[0].state is JobState.LEASED
    await again.pass_time(20)
    assert (await again.view(request)).choices[0].state.ended


async def test_a_clock_set_back_moves_deadlines_back(world: World) -> None:
    await world.node()
    request = await world.ask(deadline_s=60.0)
    world.clock.now -= 86_400
    assert (await world.pass_time(0)).gap_s == -86_400
    (record,) = await world.store.read(lambda tx: tx.find(JobRecord, request=request))
    assert record.job.deadline == world.clock.now + 60.0


async def test_a_restart_loses_nothing_that_was_answered(world: World) -> None:
    node, request = await world.node(), await world.ask()
    lease = await node.lease()
    ending = said(lease, "a", "b", end=complete(2, 2))
    first = await node.report(ending)
    again = await world.restart()
    node.world = again
    again.grid.presence.saw(node.record, again.clock.now)
    assert await node.report(ending) == first
    assert (await again.view(request)).choices[0].text == "ab"


async def test_a_node_that_stays_away_after_a_restart_loses_its_lease(world: World) -> None:
    node, request = await world.node(), await world.ask()
    await node.lease()
    again = await world.restart(away_s=3.0)
    await again.pass_time(20)
    assert (await again.view(request)).choices[0].state is JobState.LEASED
    await again.pass_time(2)
    assert (await again.view(request)).choices[0].state is JobState.QUEUED


async def test_a_backed_off_job_waits(world: World) -> None:
    node = await world.node()
    await world.ask()
    await node.say(await node.lease(), end=release())
    assert (await node.call()).leases == ()
    await world.pass_time(2)
    assert len((await node.call()).leases) == 1


async def test_a_watch_wakes_after_the_commit(world: World) -> None:
    node, request = await world.node(), await world.ask()
    watch = world.desk.watch(request)
    assert not await watch.changed(0.0)
    await node.say(await node.lease(), "a")
    assert await watch.changed(0.0)
    assert not await watch.changed(0.0)
    watch.close()


async def test_one_account_does_not_crowd_out_another(world: World) -> None:
    node = await world.node()
    for _ in range(5):
        await world.ask(params=(SamplingParams(max_tokens=4000),) * 4)
    other = AccountRecord("other", "other", Priority.HIGH, 0.0, world.clock.now)
    await world.store.write(lambda tx: tx.put(other))
    late = await world.ask(account=other.id)
    leases = (await node.call(slots=8)).leases
    assert f"{late}.0" in {lease.job.id for lease in leases}


async def test_the_model_in_memory_is_preferred(world: World) -> None:
    cold, warm = await world.node(), await world.node()
    await world.ask()
    answers = await asyncio.gather(
        cold.call(models_on_disk=(MODEL,)), warm.call(models_on_disk=(), models_resident=(MODEL,))
    )
    assert [len(answer.leases) for answer in answers] == [0, 1]


async def test_a_repeat_of_a_request_is_not_charged_again(world: World) -> None:
    await world.node()
    first = await world.ask(idempotency_key="k")
    charged = dict(world.grid.unsaid.charges)
    assert await world.ask(idempotency_key="k") == first
    assert charged[world.account.id] > 0
    assert world.grid.unsaid.charges == pytest.approx(charged)
