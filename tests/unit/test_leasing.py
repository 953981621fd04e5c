"""Asking and telling, against a scripted coordinator and a clock that is advanced by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from fixtures_clock import FakeClock, settle

from gogrid_desktop.agent.leasing import Leasing, Offer
from gogrid_desktop.agent.lending import Lending
from gogrid_desktop.agent.outbox import HeldJob, Outbox
from gogrid_desktop.errors import AuthRejected, RateLimited, Unreachable
from gogrid_desktop.protocol import grid as g

MODEL = "b" * 64
OFFER = Offer(slots=2, context=512, resident=(MODEL,), on_disk=(MODEL,))


def lease(name: str) -> g.Lease:
    job = g.Job(
        id="job-" + name,
        kind=g.JobKind.CHAT,
        model=MODEL,
        rendered_at=0.0,
        params=g.SamplingParams(max_tokens=9),
        deadline=1e9,
    )
    return g.Lease(id=name, fence=1, job=job)


class Coordinator:
    """Answers lease calls when the test grants something; answers reports by renewing what is held."""

    def __init__(self) -> None:
        self.calls: list[g.LeaseCall] = []
        self.reports: list[g.Report] = []
        self.fail: Exception | None = None
        self.directives = g.Directives()
        self.have: dict[str, g.Have] = {}
        self._grants: asyncio.Queue[g.Leases] = asyncio.Queue()

    def grant(self, *names: str) -> None:
        self._grants.put_nowait(g.Leases(leases=tuple(lease(name) for name in names)))

    def refuse(self, why: str) -> None:
        self._grants.put_nowait(g.Leases(none_because={why: 1}))

    async def leases(self, call: g.LeaseCall, wait_s: int = 25) -> g.Leases:
        self.calls.append(call)
        if self.fail:
            raise self.fail
        return await self._grants.get()

    async def report(self, report: g.Report) -> g.Reported:
        if self.fail:
            raise self.fail
        self.reports.append(report)
        ends = {part.lease for part in report.leases if part.end is not None}
        for part in report.leases:
            for chunk in part.chunks:
                tokens, size = chunk.tokens_before + len(chunk.token_ids), chunk.bytes_before + len(chunk.text.encode())
                self.have[part.lease] = g.Have(tokens=tokens, bytes=size)
        verdicts = [
            g.LeaseVerdict(
                lease=name,
                verdict=g.Verdict.DONE if name in ends else g.Verdict.RENEWED,
                have=self.have.get(name, g.Have()),
            )
            for name in report.held
        ]
        return g.Reported(verdicts=tuple(verdicts), directives=self.directives)


class World:
    def __init__(self) -> None:
        self.grid = Coordinator()
        self.clock = FakeClock()
        self.outbox = Outbox()
        self.accepted: list[str] = []
        self.gone: list[str] = []
        self.done: list[str] = []
        self.leasing = Leasing(
            self.grid,
            self.outbox,
            self.clock,
            accept=lambda job: self.accepted.append(job.lease.id),
            gone=lambda job: self.gone.append(job.lease.id),
            done=lambda job: self.done.append(job.lease.id),
            state=g.NodeState,
            changed=lambda: None,
        )

    def job(self, name: str) -> HeldJob:
        return self.outbox.jobs[name]


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    tasks = [
        asyncio.create_task(world.leasing.poll_forever()),
        asyncio.create_task(world.leasing.report_forever()),
    ]
    try:
        await settle()
        yield world
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_the_first_report_says_that_nothing_is_held_so_that_older_leases_go_back_at_once() -> None:
    async with running() as world:
        assert [(report.held, report.leases) for report in world.grid.reports] == [((), ())]
        assert world.grid.calls == []


async def test_a_free_slot_is_asked_for_and_a_granted_job_is_run() -> None:
    async with running() as world:
        world.leasing.offer(OFFER)
        await settle()
        world.grid.grant("l1")
        await settle()
        assert world.accepted == ["l1"]
        assert [call.slots for call in world.grid.calls] == [2, 2]
        assert world.grid.calls[0].poll != world.grid.calls[1].poll


async def test_a_smaller_offer_closes_the_open_poll_and_the_next_report_names_none() -> None:
    async with running() as world:
        world.leasing.offer(OFFER)
        await settle()
        world.leasing.offer(Offer(0))
        await world.clock.advance(g.REPORT_INTERVAL_S)
        world.grid.grant("too-late")
        await settle()
        assert world.accepted == []
        assert world.grid.reports[-1].poll == ""


async def test_the_persons_limits_go_along_and_a_changed_one_closes_the_open_poll() -> None:
    async with running() as world:
        lent = Lending((g.Work.CHAT,), {g.Work.CHAT: 1}, g.ShareWith.GROUPS, ("lab",))
        world.leasing.offer(replace(OFFER, lending=lent))
        await settle()
        for changed in (
            replace(lent, free={g.Work.CHAT: 0}),
            lent,
            replace(lent, share_with=g.ShareWith.OWN, groups=()),
        ):
            world.leasing.offer(replace(OFFER, lending=changed))
            await settle()
        assert [(call.work, call.work_free, call.share_with, call.groups) for call in world.grid.calls] == [
            ((g.Work.CHAT,), {g.Work.CHAT: 1}, g.ShareWith.GROUPS, ("lab",)),
            ((g.Work.CHAT,), {g.Work.CHAT: 0}, g.ShareWith.GROUPS, ("lab",)),
            ((g.Work.CHAT,), {g.Work.CHAT: 1}, g.ShareWith.GROUPS, ("lab",)),
            ((g.Work.CHAT,), {g.Work.CHAT: 1}, g.ShareWith.OWN, ()),
        ]


async def test_why_there_is_no_job_is_kept_until_one_shares_with_others() -> None:
    async with running() as world:
        own = replace(OFFER, lending=Lending(share_with=g.ShareWith.OWN))
        world.leasing.offer(own)
        await settle()
        world.grid.refuse(g.NO_ACCOUNT)
        await settle()
        assert world.leasing.none_because == {g.NO_ACCOUNT: 1}
        world.leasing.offer(replace(own, slots=1))
        assert world.leasing.none_because == {g.NO_ACCOUNT: 1}
        world.leasing.offer(OFFER)
        assert world.leasing.none_because == {}


async def test_a_heartbeat_goes_out_every_five_seconds_while_a_lease_is_held_and_none_without() -> None:
    async with running() as world:
        await world.clock.advance(60)
        assert len(world.grid.reports) == 1
        world.leasing.offer(OFFER)
        await settle()
        world.grid.grant("l1")
        await settle()
        world.leasing.news()
        await world.clock.advance(20)
        beats = world.grid.reports[1:]
        assert len(beats) == 4
        assert all(report.held == ("l1",) for report in beats)


async def test_tokens_are_reported_together_at_most_every_quarter_of_a_second() -> None:
    async with running() as world:
        world.leasing.offer(OFFER)
        await settle()
        world.grid.grant("l1")
        await world.clock.advance(1)
        before = len(world.grid.reports)
        for i in range(20):
            world.job("l1").emitted(g.Chunk(tokens_before=i, bytes_before=i, token_ids=(i,), text="x"))
            world.leasing.news()
            await world.clock.advance(0.05)
        reports = world.grid.reports[before:]
        assert 4 <= len(reports) <= 5
        told = [chunk for report in reports for part in report.leases for chunk in part.chunks]
        assert [i for chunk in told for i in chunk.token_ids] == list(range(sum(len(c.token_ids) for c in told)))


async def test_an_unreachable_coordinator_is_tried_again_and_nothing_is_lost() -> None:
    async with running() as world:
        world.leasing.offer(OFFER)
        await settle()
        world.grid.grant("l1")
        await world.clock.advance(1)
        world.grid.fail = Unreachable("away")
        world.job("l1").emitted(g.Chunk(tokens_before=0, bytes_before=0, token_ids=(5,), text="é"))
        world.leasing.news()
        await world.clock.advance(30)
        assert not world.leasing.connected
        world.grid.fail = None
        await world.clock.advance(300)
        assert world.leasing.connected
        chunks = [chunk for report in world.grid.reports for part in report.leases for chunk in part.chunks]
        assert chunks == [g.Chunk(tokens_before=0, bytes_before=0, token_ids=(5,), text="é")]


async def test_a_refused_token_is_told_to_the_person() -> None:
    async with running() as world:
        world.grid.fail = AuthRejected("The token is not known.", "Join again.")
        world.leasing.news()
        await world.clock.advance(1)
        assert world.leasing.auth_problem == "The token is not known. Join again."


async def test_being_asked_to_slow_down_is_no_outage() -> None:
    async with running() as world:
        await world.clock.advance(1)
        world.grid.fail = RateLimited("too many", 7.0)
        world.leasing.news()
        await world.clock.advance(1)
        assert world.leasing.connected
        sent = len(world.grid.reports)
        world.grid.fail = None
        await world.clock.advance(5.0)
        assert len(world.grid.reports) == sent
        await world.clock.advance(2.0)
        assert len(world.grid.reports) == sent + 1


async def test_settling_waits_until_every_end_was_taken() -> None:
    async with running() as world:
        world.leasing.offer(OFFER)
        await settle()
        world.grid.grant("l1", "l2")
        await world.clock.advance(1)
        for name in ("l1", "l2"):
            world.job(name).end = g.Release(reason=g.ReleaseReason.SHUTDOWN)
        settling = asyncio.create_task(world.leasing.settle(60))
        await world.clock.advance(1)
        assert await settling
        assert (world.done, world.outbox.jobs) == (["l1", "l2"], {})


async def test_a_draining_node_asks_for_nothing_more() -> None:
    async with running() as world:
        world.grid.directives = g.Directives(drain=True)
        world.leasing.news()
        await world.clock.advance(1)
        world.leasing.offer(OFFER)
        await settle()
        assert world.grid.calls == []


@pytest.mark.parametrize("verdict", [g.Verdict.LOST, g.Verdict.CANCELLED])
async def test_a_lease_that_is_not_ours_any_more_is_stopped(verdict: g.Verdict) -> None:
    async with running() as world:
        world.leasing.offer(OFFER)
        await settle()
        world.grid.grant("l1")
        await world.clock.advance(1)

        async def lost(report: g.Report) -> g.Reported:
            return g.Reported(verdicts=tuple(g.LeaseVerdict(lease=name, verdict=verdict) for name in report.held))

        world.grid.report = lost  # type: ignore[method-assign]
        world.leasing.news()
        await world.clock.advance(1)
        assert (world.gone, world.outbox.jobs) == (["l1"], {})
