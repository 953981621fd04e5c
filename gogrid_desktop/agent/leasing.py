"""Talks to the coordinator: asks for as many jobs as there are free slots, and reports everything in one batch.

Two loops share one lock, so that a report never names a poll whose leases have not been taken in yet. A lease that a
lost answer granted is given back by the next report, because it names a newer poll and does not hold it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gogrid_desktop.agent.clock import Clock, happens
from gogrid_desktop.agent.lending import ALL_WORK, Lending
from gogrid_desktop.agent.outbox import HeldJob, Outbox
from gogrid_desktop.core.backoff import Backoff
from gogrid_desktop.core.sharing import Work
from gogrid_desktop.errors import AuthRejected, CoordinatorError, RateLimited
from gogrid_desktop.protocol import grid as g

log = logging.getLogger(__name__)


class Grid(Protocol):
    """What leasing needs of `client.GridClient`."""

    async def leases(self, call: g.LeaseCall, wait_s: int = ...) -> g.Leases: ...

    async def report(self, report: g.Report) -> g.Reported: ...


@dataclass(frozen=True, slots=True)
class Offer:
    """What this node can take now. `slots` 0 = nothing."""

    slots: int
    context: int = 1
    resident: tuple[str, ...] = ()
    on_disk: tuple[str, ...] = ()
    backend: str = ""
    budget_bytes: int = 0
    lending: Lending = ALL_WORK

    def keeps(self, before: Offer) -> bool:
        """Whether a call made with `before` promises nothing that is no more, and misses no work that is taken now."""
        if (self.lending.whose, self.on_disk) != (before.lending.whose, before.on_disk) or self.slots < before.slots:
            return False
        rooms = [(before.lending.room(work, before.slots), self.lending.room(work, self.slots)) for work in Work]
        return all(then <= now and not (then == 0 < now) for then, now in rooms)


class Leasing:
    """`none_because`: why the last call that was answered brought nothing, as the coordinator counts it.

    `accept` runs a new job, `gone` stops one that is not ours any more; `done` counts one that ended well or not."""

    def __init__(
        self,
        grid: Grid,
        outbox: Outbox,
        clock: Clock,
        *,
        accept: Callable[[HeldJob], None],
        gone: Callable[[HeldJob], None],
        done: Callable[[HeldJob], None],
        state: Callable[[], g.NodeState],
        changed: Callable[[], None],
    ) -> None:
        self.connected = False
        self.auth_problem = ""
        self.message = ""
        self.draining = False
        self.none_because: Mapping[str, int] = {}
        self.retry_at = 0.0
        self.leases = self.heartbeats = 0
        self._grid, self._outbox, self._clock = grid, outbox, clock
        self._accept, self._gone, self._done = accept, gone, done
        self._state, self._changed = state, changed
        self._offer = Offer(0)
        self._offer_changed = asyncio.Event()
        self._news = asyncio.Event()
        self._news.set()  # the first report says what we hold: nothing; older leases go back to the queue at once
        self._poll = ""
        self._start, self._polls = uuid.uuid4().hex, 0
        self._exchange = asyncio.Lock()
        self._settled = asyncio.Event()

    def offer(self, offer: Offer) -> None:
        """What may be asked for from now on; an offer that the open poll does not keep closes it."""
        if offer != self._offer:
            before, self._offer = self._offer, offer
            if offer.lending.whose != before.lending.whose:
                self.none_because = {}
            if not offer.keeps(before) or not self._poll:
                self._offer_changed.set()

    def news(self) -> None:
        """There is something to report."""
        self._news.set()

    async def settle(self, timeout_s: float) -> bool:
        """Wait until the coordinator has taken every end there is; False when it did not in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._outbox.jobs:
                    self._settled.clear()
                    self.news()
                    await self._settled.wait()
        except TimeoutError:
            return False
        return True

    # --- asking ------------------------------------------------------------------------------------------------------

    async def poll_forever(self) -> None:
        """Ask for jobs while there are free slots."""
        backoff = Backoff()
        while True:
            await self._until_wanted()
            began = self._clock.monotonic()
            try:
                await self._poll_once()
            except CoordinatorError as error:
                delay_s = self._failed(error, backoff, self._clock.monotonic() - began)
                await self._clock.sleep(delay_s)
            else:
                backoff.reset()

    async def _until_wanted(self) -> None:
        while self._offer.slots <= 0 or self.draining:
            self._offer_changed.clear()
            await self._offer_changed.wait()

    async def _poll_once(self) -> None:
        """One long poll, closed early when the offer shrinks: the next report gives back what it may have granted."""
        self._offer_changed.clear()
        offer = self._offer
        async with self._exchange:
            self._polls += 1
            self._poll = f"{self._start}.{self._polls}"
        call = g.LeaseCall(
            poll=self._poll,
            slots=offer.slots,
            context=offer.context,
            models_resident=offer.resident,
            models_on_disk=offer.on_disk,
            backend=offer.backend,
            budget_bytes=offer.budget_bytes,
            work=offer.lending.work,
            work_free=dict(offer.lending.free),
            share_with=offer.lending.share_with,
            groups=offer.lending.groups,
        )
        asking = asyncio.create_task(self._grid.leases(call), name="poll")
        changing = asyncio.create_task(self._offer_changed.wait(), name="offer-changed")
        try:
            await asyncio.wait({asking, changing}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                granted = asking.result()
                self._answered()
                self.none_because = granted.none_because
                async with self._exchange:
                    self._take(granted.leases)
        finally:
            changing.cancel()
            if not asking.done():
                asking.cancel()
                self.news()
            await asyncio.gather(asking, changing, return_exceptions=True)
            self._poll = ""

    def _take(self, leases: Iterable[g.Lease]) -> None:
        for lease in leases:
            if lease.id in self._outbox.jobs:
                continue
            self.leases += 1
            self._accept(self._outbox.add(lease))
        self._changed()

    # --- telling -----------------------------------------------------------------------------------------------------

    async def report_forever(self) -> None:
        """Report news at most every 250 ms, and a heartbeat every 5 s while a lease is held."""
        backoff = Backoff()
        while True:
            await happens(self._news, self._clock, g.HEARTBEAT_S if self._outbox.jobs else None)
            self._news.clear()
            began = self._clock.monotonic()
            try:
                await self._report_once()
            except CoordinatorError as error:
                self._news.set()
                await self._clock.sleep(self._failed(error, backoff, self._clock.monotonic() - began))
            else:
                backoff.reset()
                await self._clock.sleep(g.REPORT_INTERVAL_S)

    async def _report_once(self) -> None:
        async with self._exchange:
            report = self._outbox.report(self._poll, self._state())
            reported = await self._grid.report(report)
        self._answered()
        self.heartbeats += 1
        done, lost = self._outbox.settle(report, reported.verdicts)
        for job in done:
            self._done(job)
        for job in lost:
            self._gone(job)
        if any(job.has_news for job in self._outbox.jobs.values()):
            self._news.set()
        self.message = reported.directives.message
        if reported.directives.drain != self.draining:
            self.draining = reported.directives.drain
            self._offer_changed.set()
        if not self._outbox.jobs:
            self._settled.set()
        self._changed()

    # --- how it goes -------------------------------------------------------------------------------------------------

    def _answered(self) -> None:
        if not self.connected:
            log.info("the coordinator answers")
        self.connected, self.auth_problem, self.retry_at = True, "", 0.0

    def _failed(self, error: CoordinatorError, backoff: Backoff, tried_s: float) -> float:
        """Note a failure and say how long to wait."""
        hint_s = error.retry_after_s if isinstance(error, RateLimited) else None
        delay_s = backoff.after(tried_s, random.random(), retry_after_s=hint_s)  # noqa: S311 - jitter
        if isinstance(error, RateLimited):
            log.debug("asked to slow down by %.2f s", delay_s)
            return delay_s
        if isinstance(error, AuthRejected):
            self.auth_problem = str(error)
        if self.connected or isinstance(error, AuthRejected) or not error.retryable:
            log.warning("%s Trying again in %.1f s.", error.message, delay_s)
        self.connected = False
        self.retry_at = self._clock.now() + delay_s
        self._changed()
        return delay_s
