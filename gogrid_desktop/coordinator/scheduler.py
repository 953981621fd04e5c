"""The matchmaker: one task that serves all waiting lease calls together, in one transaction.

It is woken by whatever may bring a call and a job together. A call whose connection has gone may still be given a
lease; the node's next report, which does not hold it, brings the job back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

from gogrid_desktop.coordinator.grid import Grid
from gogrid_desktop.coordinator.lanes import Lanes
from gogrid_desktop.coordinator.matching import Offer, match
from gogrid_desktop.coordinator.store.port import Tx
from gogrid_desktop.coordinator.store.records import AccountRecord, JobRecord, NodeRecord, RequestRecord
from gogrid_desktop.coordinator.texts import open_body, open_ids
from gogrid_desktop.core.lease import grant
from gogrid_desktop.core.sharing import accounts_served
from gogrid_desktop.errors import StorageError
from gogrid_desktop.protocol.grid import NO_ACCOUNT, NO_GROUP, Have, Job, Lease, LeaseCall, Leases, ShareWith, Work

log = logging.getLogger(__name__)

#: Jobs become free by time alone (backed off, avoided), so waiting calls are looked at this often at least.
LOOK_S = 1.0
#: Another node counts as serving a job when it called within this time: two long polls.
SERVING_S = 60.0


@dataclass(slots=True)
class _Poll:
    node: str
    account: str | None
    call: LeaseCall
    answer: asyncio.Future[Leases]
    tried: bool = False
    why_not: Counter[str] = field(default_factory=Counter)


class Matchmaker:
    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._waiting: dict[str, _Poll] = {}
        self._round = asyncio.Lock()
        self._closed = False

    async def lease(
        self, node: NodeRecord, call: LeaseCall, wait_s: float, gone: Coroutine[None, None, None]
    ) -> Leases:
        """Leases for a node as soon as there are any; none, with reasons, after `wait_s` or when `gone` returns."""
        poll = _Poll(node.id, node.account, call, asyncio.get_running_loop().create_future())
        leaving = asyncio.create_task(gone, name="lease call: connection")
        self._answer(self._waiting.get(node.id), Leases(none_because={"newer_poll": 1}))
        self._waiting[node.id] = poll
        self._grid.work.set()
        try:
            if not self._closed:
                either: set[asyncio.Future[Any]] = {poll.answer, leaving}
                await asyncio.wait(either, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            async with self._round:  # a round that is under way may still answer
                if not (poll.answer.done() or poll.tried or self._closed):
                    await self._serve()
                if not poll.answer.done():
                    self._answer(poll, Leases(none_because=await self._reasons(poll)))
        finally:
            leaving.cancel()
            if self._waiting.get(node.id) is poll:
                del self._waiting[node.id]
        return poll.answer.result()

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S if self._waiting else None):
                    await self._grid.work.wait()
            self._grid.work.clear()
            async with self._round:
                try:
                    await self._serve()
                except StorageError as error:
                    log.warning("no lease can be given out: %s", error)
                    await asyncio.sleep(LOOK_S)

    def close(self) -> None:
        """Answer all calls at once: the coordinator stops."""
        self._closed = True
        for poll in self._waiting.values():
            self._answer(poll, Leases(none_because={"stopping": 1}))

    async def _serve(self) -> None:
        polls = {poll.node: poll for poll in self._waiting.values() if not poll.answer.done()}
        if not polls:
            return
        for poll in polls.values():
            poll.tried = True
        grid, now = self._grid, self._grid.now()

        def serving() -> list[NodeRecord]:
            return grid.presence.calling(now, SERVING_S)

        def claim(tx: Tx) -> dict[str, list[Lease]]:
            matched = _match(tx, polls, serving, now)
            leased = [replace(record, job=grant(record.job, to.node, to.poll, now)) for record, to in matched]
            tx.put(*leased)
            asked = {record.request for record in leased}
            requests = {one.id: one for one in tx.find(RequestRecord, id=asked)} if asked else {}
            given: dict[str, list[Lease]] = {}
            for record, (_, to) in zip(leased, matched, strict=True):
                given.setdefault(to.node, []).append(self._wire(tx, record, requests[record.request]))
            return given

        for node, leases in (await grid.store.write(claim)).items():
            self._answer(polls[node], Leases(leases=tuple(leases)))

    def _wire(self, tx: Tx, record: JobRecord, request: RequestRecord) -> Lease:
        job = record.job
        if request.body is None or job.lease is None:
            raise LookupError(f"job {job.id} has no text to be leased with")
        body = open_body(self._grid.vault, request.body)
        return Lease(
            id=job.lease.id,
            fence=job.fence,
            alone=job.lease.alone,
            job=Job(
                id=job.id,
                kind=record.kind,
                model=record.model,
                messages=body.messages,
                prompt=body.prompt,
                rendered_at=request.rendered_at,
                params=body.params[record.position],
                priority=record.priority,
                deadline=job.deadline,
                prefix_salt=self._grid.vault.salt(request.account, int(self._grid.now() // 86_400)),
                prompt_tokens=job.prompt_tokens,
                prompt_hash=job.prompt_hash,
                token_ids=open_ids(self._grid.vault, tx.chunks(job.id)) if job.tokens else (),
                have=Have(tokens=job.tokens, bytes=job.bytes),
            ),
        )

    async def _reasons(self, poll: _Poll) -> dict[str, int]:
        here = {*poll.call.models_resident, *poll.call.models_on_disk}

        def look(tx: Tx) -> tuple[frozenset[str] | None, dict[str, int], dict[str, int]]:
            accounts = _accounts(poll.call, poll.account, _groups_of(tx, [poll.call]))
            return accounts, tx.waiting(), tx.waiting(accounts)

        accounts, waiting, shared = await self._grid.store.read(look)
        reasons = {**poll.why_not, "model": 0, "share": 0}
        for model, count in waiting.items():
            if model in here:
                reasons["share"] += count - shared.get(model, 0)
            else:
                reasons["model"] += count
        if accounts is not None and not accounts:
            reasons[NO_ACCOUNT if poll.call.share_with is ShareWith.OWN else NO_GROUP] = 1
        return {why: count for why, count in reasons.items() if count}

    @staticmethod
    def _answer(poll: _Poll | None, leases: Leases) -> None:
        if poll is not None and not poll.answer.done():
            poll.answer.set_result(leases)


def _groups_of(tx: Tx, who: Iterable[LeaseCall | NodeRecord]) -> dict[str, tuple[str, ...]]:
    """The groups of all accounts, where any of these asks for them."""
    if all(one.share_with is not ShareWith.GROUPS for one in who):
        return {}
    return {account.id: account.groups for account in tx.find(AccountRecord)}


def _accounts(
    who: LeaseCall | NodeRecord, account: str | None, groups_of: Mapping[str, tuple[str, ...]]
) -> frozenset[str] | None:
    return accounts_served(who.share_with, account, who.groups, groups_of)


def _offer(poll: _Poll, running: int, alone: bool, groups_of: Mapping[str, tuple[str, ...]]) -> Offer:
    call = poll.call
    resident = frozenset(call.models_resident)
    return Offer(
        node=poll.node,
        poll=call.poll,
        free=call.slots,
        resident=resident,
        models=resident | frozenset(call.models_on_disk),
        kinds=frozenset(call.kinds),
        context=call.context,
        running=running,
        alone=alone,
        account=poll.account,
        accounts=_accounts(call, poll.account, groups_of),
        left={**call.work_free, **{work: 0 for work in Work if work not in call.work}},
    )


def _match(
    tx: Tx, polls: dict[str, _Poll], serving: Callable[[], list[NodeRecord]], now: float
) -> list[tuple[JobRecord, Offer]]:
    """What to give out now. `serving`: nodes that could take a job instead of one to avoid."""
    load = tx.load(polls)
    groups_of = _groups_of(tx, [poll.call for poll in polls.values()])
    offers = [_offer(poll, *load.get(node, (0, False)), groups_of) for node, poll in polls.items()]

    @cache
    def others() -> list[tuple[NodeRecord, frozenset[str] | None]]:
        nodes = serving()
        groups_of = _groups_of(tx, nodes)
        return [(node, _accounts(node, node.account, groups_of)) for node in nodes]

    def elsewhere(record: JobRecord) -> bool:
        return any(
            node.takes(record.model, record.kind, record.priority) and (accounts is None or record.account in accounts)
            for node, accounts in others()
            if node.id not in record.job.avoid
        )

    with Lanes(tx, now) as lanes:
        matched = match(offers, lanes.queue(offers), now, elsewhere, partial(lanes.own, offers))
    for offer in offers:
        polls[offer.node].why_not = offer.why_not
    return matched
