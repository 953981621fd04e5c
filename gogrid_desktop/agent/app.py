"""The agent: builds its parts, runs them as named tasks under one monitor, and ends in order.

Everything that happens ends up in `_think`: sense, decide, apply. It runs when time alone could change the decision, at
most a second after a signal that is polled, and at once when the person says something.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import replace

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from filelock import FileLock, Timeout

from gogrid_desktop.agent import describe
from gogrid_desktop.agent.clock import happens
from gogrid_desktop.agent.departure import Departure
from gogrid_desktop.agent.governor import Governor
from gogrid_desktop.agent.gpu_sense import GpuSense
from gogrid_desktop.agent.intent import Intent, Said
from gogrid_desktop.agent.keeper import Keeper, Wants
from gogrid_desktop.agent.leasing import Leasing, Offer
from gogrid_desktop.agent.lending import lending
from gogrid_desktop.agent.measuring import Measures
from gogrid_desktop.agent.membership import Membership, join, node_name
from gogrid_desktop.agent.models import ModelShelf
from gogrid_desktop.agent.outbox import HeldJob, Outbox
from gogrid_desktop.agent.parts import Parts, supervise_with
from gogrid_desktop.agent.planning import OnDisk
from gogrid_desktop.agent.pool import WorkerPool
from gogrid_desktop.agent.sensors import Sensors
from gogrid_desktop.agent.session import Session
from gogrid_desktop.agent.stock import Stock
from gogrid_desktop.agent.suggestions import Suggestions
from gogrid_desktop.agent.surroundings import Surroundings, concerned
from gogrid_desktop.agent.tasks import Monitor, stopped_by_signals, wake
from gogrid_desktop.agent.wishes import Wishes
from gogrid_desktop.client.grid import GridClient
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.core.status import AgentStatus, Totals
from gogrid_desktop.errors import AgentAlreadyRunning, SecretStoreError
from gogrid_desktop.ipc import messages as m
from gogrid_desktop.ipc.server import LocalServer
from gogrid_desktop.paths import private_dir
from gogrid_desktop.protocol import grid as g
from gogrid_desktop.system import host
from gogrid_desktop.system.secrets import SecretStore

log = logging.getLogger(__name__)

SETTLE_S = 5.0
#: Less than logind waits for those that delay a sleep (InhibitDelayMaxSec).
SLEEP_S = 4.0
RESCAN_S = 600
#: Between two decisions, so that nothing that happens all the time can take a whole CPU.
LEAST_S = 0.02


class Agent:
    """One per user. `run` returns the exit code."""

    def __init__(self, parts: Parts) -> None:
        self._paths, self._store, self._clock = parts.paths, parts.store, parts.clock
        self._make_secrets, self._allow_plaintext = parts.secrets, parts.allow_plaintext
        self._outbox = Outbox()
        self._intent = Intent(self._paths.state / "intent.json")
        self._suggestions = Suggestions(self._paths.state / "suggestions.json")
        self._wishes = Wishes(lambda: self._settings, self._intent, parts.ceiling, parts.turn)
        surroundings = Surroundings(lambda: self._settings, parts.gpus, host.mps(), host.affinity())
        self._pool = WorkerPool(
            self._outbox, parts.clock, self._changed, supervise_with(parts.worker_command, surroundings)
        )
        self._stock = Stock(self._pool, self._outbox, parts.clock)
        wants = Wants(lambda: self._settings, self._models)
        self._keeper = Keeper(self._pool, self._stock, wants, parts.gpus, parts.clock)
        sense = GpuSense(parts.gpus, self._pool.pids, self._wishes.lent)
        self._sensors = Sensors(parts.probes, sense, parts.clock, self._wishes.preferences)
        self._governor = Governor(self._sensors, self._wishes, self._pool, self._outbox, parts.clock, self._keeper.tend)
        self._departure = Departure(self._sensors, self._hand_over)
        self._monitor = Monitor()
        self._server = LocalServer(self._paths.endpoint_file, self._command, self.status)
        self._session: Session | None = None
        self._membership_changed = asyncio.Event()
        self._rethink = asyncio.Event()
        self._measures = Measures(lambda: self._settings)
        self._totals = Totals()
        self._problem = ""

    @property
    def _settings(self) -> Settings:
        return self._store.settings

    def _shelf(self) -> ModelShelf:
        models = self._settings.models
        return ModelShelf(models.folder or self._paths.models, models.files, self._paths.state / "hashes.json")

    def _secrets(self, *, allow_plaintext: bool = False) -> SecretStore:
        return self._make_secrets(allow_plaintext or self._allow_plaintext or self._settings.secrets.allow_plaintext)

    # --- life --------------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Until stopped. Raises AgentAlreadyRunning."""
        private_dir(self._paths.runtime)
        lock = FileLock(self._paths.agent_lock)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise AgentAlreadyRunning(
                "An agent runs already for this user.", "See it with: gogrid status. End it with: gogrid stop"
            ) from None
        try:
            with stopped_by_signals(self._monitor):
                return await self._run()
        finally:
            lock.release()

    async def _run(self) -> int:
        if self._store.notice:
            log.warning("%s", self._store.notice)
        host.end_children_with_us()
        await self._server.open()
        scheduler = AsyncIOScheduler(job_defaults={"misfire_grace_time": None, "coalesce": True})
        scheduler.add_job(self._rescan, "interval", seconds=RESCAN_S, id="rescan")
        scheduler.start()
        loop = asyncio.get_running_loop()
        self._sensors.start(lambda: wake(loop, self._rethink))
        await self._think()
        self._monitor.spawn("workers", self._pool.run())
        self._monitor.spawn("grid", self._grid_forever())
        self._monitor.spawn("think", self._think_forever())
        log.info("agent ready, pid %d", os.getpid())
        try:
            await self._monitor.until_stopped()
        finally:
            scheduler.shutdown(wait=False)
            await self._release_all()
            await self._monitor.cancel()
            self._pool.close()
            self._wishes.let_go()
            await asyncio.to_thread(self._sensors.close)
            await self._server.close()
        return 1 if self._monitor.failure else 0

    async def _release_all(self) -> None:
        """Hand every lease back with its tokens, and wait a little for the coordinator to take them."""
        if not self._outbox.jobs or self._session is None:
            return
        self._session.leasing.offer(Offer(0))
        await self._pool.pause()
        for job in self._outbox.running:
            self._pool.hand_back(job, g.ReleaseReason.SHUTDOWN)
        if not await self._session.leasing.settle(SETTLE_S):
            log.warning(
                "the coordinator did not take %d leases back in time; they expire there", len(self._outbox.jobs)
            )

    # --- deciding ----------------------------------------------------------------------------------------------------

    async def _think_forever(self) -> None:
        while True:
            self._rethink.clear()
            await self._think()
            await happens(self._rethink, self._clock, max(self._governor.wait_s(), LEAST_S))

    async def _think(self) -> None:
        await self._governor.think()
        self._departure.mind(self._governor.activity, self._governor.decision)
        self._tell()

    async def _hand_over(self) -> None:
        """Everything that was handed back has been taken."""
        if self._session is not None:
            await self._session.leasing.settle(SLEEP_S)

    def _models(self) -> dict[str, OnDisk]:
        return self._session.models if self._session is not None else {}

    def _offer(self) -> Offer:
        decision, pool = self._governor.decision, self._pool
        if decision is None or not decision.accept_leases or self._monitor.failure:
            return Offer(0)
        # A lease that comes while the only model loads would wait here, where another node could begin at once.
        if not self._stock.offered or (pool.loading and not pool.ready):
            return Offer(0)
        most = min(decision.limits.batch, self._settings.models.slots)
        slots = max(0, most - len(self._outbox.jobs))
        lent = lending(self._settings.work, self._outbox.jobs.values(), slots)
        return Offer(
            slots=lent.slots(slots),
            context=self._stock.context,
            resident=pool.ready,
            on_disk=self._stock.offered,
            backend=",".join(pool.backends),
            budget_bytes=sum(self._models()[model].file.size_bytes for model in pool.ready if model in self._models()),
            lending=lent,
        )

    def _changed(self) -> None:
        """Something happened that the coordinator, the tray or a decision may want to know."""
        self._tell()
        if self._session is not None and self._session.models and not self._pool.ready:
            self._rethink.set()

    def _tell(self) -> None:
        if self._session is not None:
            if any(job.has_news for job in self._outbox.jobs.values()):
                self._session.leasing.news()
            self._session.leasing.offer(self._offer())
        self._server.changed()

    # --- the grid ----------------------------------------------------------------------------------------------------

    async def _grid_forever(self) -> None:
        """Serve the membership there is; begin anew when it changes."""
        while True:
            self._membership_changed.clear()
            session = await self._open_session()
            if session is None:
                await self._membership_changed.wait()
                continue
            self._session = session
            self._changed()
            running = asyncio.create_task(session.run(), name="session")
            leaving = asyncio.create_task(self._membership_changed.wait(), name="membership")
            try:
                await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    await running
                await self._release_all()
            finally:
                leaving.cancel()
                running.cancel()
                await asyncio.gather(running, leaving, return_exceptions=True)
                self._totals = self._with_leasing(self._totals)
                self._session = None

    async def _open_session(self) -> Session | None:
        membership = self._membership()
        if membership is None:
            self._problem = "This computer has joined no grid yet. Join with: gogrid join COORDINATOR INVITE"
            self._changed()
            return None
        try:
            token = await asyncio.to_thread(self._secrets().get, membership.secret_name)
        except SecretStoreError as error:
            self._problem = str(error)
            self._changed()
            return None
        if token is None:
            self._problem = "The token of this node is gone from the keyring. Join again with a new invite."
            self._changed()
            return None
        self._problem = ""
        client = GridClient(membership.coordinator, token)
        leasing = Leasing(
            client,
            self._outbox,
            self._clock,
            accept=self._accept,
            gone=self._pool.drop,
            done=self._done,
            state=self._node_state,
            changed=self._changed,
        )
        return Session(client, leasing, self._shelf, self._clock, self._changed, self._measures.of)

    def _membership(self) -> Membership | None:
        grid = self._settings.grid
        if not (grid.coordinator and grid.node_id):
            return None
        return Membership(grid.coordinator, grid.node_id, grid.node_name)

    def _accept(self, job: HeldJob) -> None:
        """Start it, and look at once at what was looked at less often while there was nothing to do."""
        self._pool.start(job)
        self._rethink.set()

    def _done(self, job: HeldJob) -> None:
        if isinstance(job.end, g.Complete):
            self._totals = replace(self._totals, jobs=self._totals.jobs + 1)
        elif isinstance(job.end, g.Fault | g.Rejected):
            self._totals = replace(self._totals, jobs_failed=self._totals.jobs_failed + 1)

    def _node_state(self) -> g.NodeState:
        decision = self._governor.decision
        if decision is None:
            return g.NodeState()
        return g.NodeState(
            profile=decision.profile.word,
            reason=decision.reasons[0].rule,
            tokens_per_s=round(self._pool.tokens_per_s, 2),
        )

    def _with_leasing(self, totals: Totals) -> Totals:
        """With what the present session counted."""
        if self._session is None:
            return totals
        leasing = self._session.leasing
        return replace(totals, leases=totals.leases + leasing.leases, heartbeats=totals.heartbeats + leasing.heartbeats)

    async def _rescan(self) -> None:
        if self._session is not None:
            self._session.restock()

    # --- what people see and say -------------------------------------------------------------------------------------

    def status(self) -> AgentStatus:
        """The whole state, as tray and command line show it."""
        return describe.status(
            governor=self._governor,
            pool=self._pool,
            stock=self._stock,
            memory=self._keeper.level,
            session=self._session,
            settings=self._settings,
            problem=self._problem,
            notice=self._store.notice,
            jobs_running=len(self._outbox.running),
            totals=self._with_leasing(self._totals),
            said=self._intent.said,
            signals=self._sensors.notes,
            suggestion=self._suggestions.sentence(self._settings.preferences().pause_for),
            now=self._clock.now(),
        )

    async def _command(self, command: m.Command) -> m.Reply:
        match command:
            case m.Pause():
                await self._pause(command)
            case m.Resume(anyway_s=anyway_s):
                self._intent.say(Said(anyway_until=None if anyway_s is None else self._clock.now() + anyway_s))
                await self._put({"sharing.enabled": True})
            case m.Drain():
                self._intent.say(replace(self._intent.said, drain=True))
                await self._think()
            case m.PutSettings():
                await self._put(command.values)
            case m.GetSettings():
                return m.Reply(id=command.id, ok=True, settings=self._settings.model_dump(mode="json"))
            case m.Join():
                await self._join(command)
            case m.Stop():
                self._monitor.stop()
            case _:
                pass
        return m.Reply(id=command.id, ok=True, status=self.status())

    async def _pause(self, command: m.Pause) -> None:
        self._suggestions.paused(await asyncio.to_thread(self._sensors.front))
        if command.until_away:
            self._intent.say(Said(until_away=True))
        elif command.for_s is not None:
            self._intent.say(Said(snooze_until=self._clock.now() + command.for_s))
        else:
            await self._put({"sharing.enabled": False})
            return
        await self._think()

    async def _put(self, values: dict[str, object]) -> None:
        """Change settings, all or none, and act on them before answering."""
        before = self._settings
        self._store.change(values)
        if concerned(before, self._settings):
            self._pool.renew()
        if any(name.startswith(("models.", "worker.", "mps.", "gpu.")) for name in values):
            self._stock.mended()
            if self._session is not None:
                self._session.restock()
        if self._session is None:
            self._membership_changed.set()  # what kept us from the grid may be mended
        await self._think()

    async def _join(self, command: m.Join) -> None:
        before = self._membership()
        secrets = self._make_secrets(
            command.allow_plaintext or self._allow_plaintext or self._settings.secrets.allow_plaintext
        )
        name = self._settings.grid.node_name or node_name()
        membership = await join(command.coordinator, command.invite, name, secrets)
        await self._put(membership.settings(allow_plaintext=command.allow_plaintext))
        self._membership_changed.set()
        if before is not None:
            try:
                await asyncio.to_thread(secrets.delete, before.secret_name)
            except SecretStoreError as error:
                log.warning("the token of %s could not be forgotten: %s", before.coordinator, error.message)


def run(parts: Parts) -> int:
    """Run an agent until it is stopped; returns the exit code."""
    return asyncio.run(Agent(parts).run())
