"""A grid over a store, with a clock that moves when a test says so, and nodes played by the test."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from itertools import count

from gogrid_desktop.coordinator import auth
from gogrid_desktop.coordinator.crypto import Vault, make_key
from gogrid_desktop.coordinator.desk import GridDesk
from gogrid_desktop.coordinator.grid import Grid, new_grid, remember
from gogrid_desktop.coordinator.ports import Account, RequestView, Submission
from gogrid_desktop.coordinator.reports import take
from gogrid_desktop.coordinator.scheduler import Matchmaker
from gogrid_desktop.coordinator.settings import CoordinatorSettings
from gogrid_desktop.coordinator.store.port import Store
from gogrid_desktop.coordinator.store.records import NodeRecord
from gogrid_desktop.coordinator.sweep import Swept, sweep
from gogrid_desktop.protocol.grid import (
    Chunk,
    Complete,
    FinishReason,
    Have,
    Invite,
    JobKind,
    Lease,
    LeaseCall,
    LeaseReport,
    Leases,
    Message,
    Priority,
    PromptFacts,
    Release,
    ReleaseReason,
    Report,
    Reported,
    SamplingParams,
    Verdict,
)

MODEL = "a" * 64
OTHER_MODEL = "b" * 64
PROMPT = "the secret prompt"
KEY = make_key()
numbers = count(1)


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Node:
    """A scripted node: it takes leases and says what a test tells it to."""

    world: World
    record: NodeRecord
    poll: str = ""

    @property
    def id(self) -> str:
        return self.record.id

    async def call(self, slots: int = 1, wait_s: float = 0.0, **other: object) -> Leases:
        self.poll = f"start.{next(numbers)}"
        fields = {"models_on_disk": (MODEL,), "context": 4096, **other}
        call = LeaseCall.model_validate({"poll": self.poll, "slots": slots, **fields})
        self.record = auth.offering(self.record, call, self.world.clock.now)
        self.world.grid.presence.saw(self.record, self.world.clock.now)
        return await self.world.matchmaker.lease(self.record, call, wait_s, _never())

    async def lease(self, **how: object) -> Lease:
        (lease,) = (await self.call(**how)).leases  # type: ignore[arg-type]
        return lease

    async def report(self, *leases: LeaseReport, held: tuple[str, ...] = (), poll: str | None = None) -> Reported:
        poll = self.poll if poll is None else poll
        return await take(self.world.grid, self.id, Report(poll=poll, held=held, leases=leases))

    async def say(self, lease: Lease, *texts: str, at: Have | None = None, end: object = None) -> tuple[Verdict, Have]:
        """Send each text as a chunk of one token, from where the lease stands, then perhaps an end."""
        reported = await self.report(said(lease, *texts, at=at, end=end), held=(lease.id,))
        (verdict,) = reported.verdicts
        return verdict.verdict, verdict.have


def said(lease: Lease, *texts: str, at: Have | None = None, end: object = None) -> LeaseReport:
    have = at or lease.job.have
    tokens, size = have.tokens, have.bytes
    chunks = []
    for text in texts:
        chunks.append(Chunk(tokens_before=tokens, bytes_before=size, token_ids=(tokens + 100,), text=text))
        tokens, size = tokens + 1, size + len(text.encode())
    facts = PromptFacts(tokens=5, hash="h")
    return LeaseReport(lease=lease.id, fence=lease.fence, prompt=facts, chunks=tuple(chunks), end=end)  # type: ignore[arg-type]


def complete(tokens: int, size: int) -> Complete:
    return Complete(tokens=tokens, bytes=size, finish_reason=FinishReason.STOP)


def release(reason: ReleaseReason = ReleaseReason.YIELDED, needs_context: int | None = None) -> Release:
    return Release(reason=reason, needs_context=needs_context)


async def _never() -> None:
    await asyncio.Event().wait()


@dataclass
class World:
    store: Store
    clock: FakeClock
    vault: Vault
    settings: CoordinatorSettings
    grid: Grid
    matchmaker: Matchmaker
    desk: GridDesk
    account: Account

    async def node(self, name: str = "node") -> Node:
        now = self.clock.now
        code = await self.store.write(lambda tx: auth.make_invite(tx, 1, 3600.0, now))
        enrolled = await self.store.write(lambda tx: auth.enrol(tx, Invite(invite=code, name=name), now))
        record = await self.store.read(lambda tx: auth.node_of(tx, auth.hashed(enrolled.node_token), now))
        offering = replace(record, models=(MODEL,), kinds=(JobKind.CHAT,), context=4096)
        await self.store.write(lambda tx: tx.put(offering))
        self.grid.presence.saw(offering, now)
        return Node(self, offering)

    async def ask(self, request: str = "", **other: object) -> str:
        base = Submission(
            id=request or f"req-{next(numbers)}",
            account=self.account.id,
            kind=JobKind.CHAT,
            model=MODEL,
            messages=(Message(role="user", content=PROMPT),),
            prompt="",
            params=(SamplingParams(max_tokens=50),),
            priority=Priority.NORMAL,
            deadline_s=600.0,
            rendered_at=self.clock.now,
        )
        return (await self.desk.submit(replace(base, **other))).id  # type: ignore[arg-type]

    async def view(self, request: str, *after: int, ledger: bool = False) -> RequestView:
        view = await self.desk.view(request, self.account.id, ledger=ledger)
        assert view is not None
        return await self.desk.look(view, after) if after else view

    async def pass_time(self, seconds: float) -> Swept:
        """Let time pass in the steps of the sweep, as a coordinator that runs sees it."""
        swept = await sweep(self.grid)
        while seconds > 0:
            self.clock.now += min(2.0, seconds)
            seconds -= 2.0
            swept = await sweep(self.grid)
        return swept

    async def restart(self, away_s: float = 0.0) -> World:
        """As after a kill: what memory knew is gone, what was committed is there."""
        self.clock.now += away_s
        return await build(self.store, self.clock, self.vault, self.settings, self.account)


async def build(
    store: Store, clock: FakeClock, vault: Vault, settings: CoordinatorSettings, account: Account | None = None
) -> World:
    grid = new_grid(settings, store, vault)
    await remember(grid)
    await sweep(grid)
    if account is None:
        _, key = await store.write(lambda tx: auth.make_key(tx, "me", Priority.HIGH, None, clock.now))
        account = await store.read(lambda tx: auth.account_of(tx, auth.hashed(key), clock.now))
        assert account is not None
    return World(store, clock, vault, settings, grid, Matchmaker(grid), GridDesk(grid), account)
