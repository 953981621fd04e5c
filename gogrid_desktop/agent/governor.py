"""Sense, decide, apply: the one place where a decision becomes limits, leases handed back, and memory given up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace

from gogrid_desktop.agent.clock import Clock
from gogrid_desktop.agent.outbox import Outbox
from gogrid_desktop.agent.pool import WorkerPool
from gogrid_desktop.agent.sensors import Sensors
from gogrid_desktop.agent.wishes import Wishes
from gogrid_desktop.agent.yields import Yields
from gogrid_desktop.core.activity import Activity, Preferences, is_away
from gogrid_desktop.core.policy import Decision, Memory, decide
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.protocol.grid import ReleaseReason

log = logging.getLogger(__name__)

#: Paused for this long, the model's memory is given back.
KEEP_LOADED_S = 60.0
#: A worker stops within this time, unless something is wrong with it.
OBEYS_S = 0.1
#: Without anything else to do, memory is looked at so often.
TEND_S = 1.0
#: The clock on the wall moved by so much more, or less, than time passed: it was set, or the computer slept.
CLOCK_GAP_S = 5.0


class Governor:
    """Decides anew whenever it is told to think. `tend` brings memory into line with what was decided."""

    def __init__(
        self,
        sensors: Sensors,
        wishes: Wishes,
        pool: WorkerPool,
        outbox: Outbox,
        clock: Clock,
        tend: Callable[[Decision, Activity], Awaitable[None]],
    ) -> None:
        self.decision: Decision | None = None
        self.activity: Activity | None = None
        self.yields = Yields(pool, clock)
        self._sensors, self._wishes, self._pool, self._outbox = sensors, wishes, pool, outbox
        self._clock, self._tend = clock, tend
        self._thinking = asyncio.Lock()
        self._memory = Memory()
        self._paused_at = self._tended_at = -TEND_S
        self._offset: float | None = None
        self._background: set[asyncio.Task[None]] = set()

    async def think(self) -> None:
        """Returns when the decision holds: no step under the old limits runs any more."""
        async with self._thinking:
            noticed = self._sensors.noticed()
            now, mono = self._clock.now(), self._clock.monotonic()
            self._mind_the_clock(now, mono)
            intent = self._wishes.intent
            intent.expire(now)
            self.activity = await asyncio.to_thread(self._sensors.read, len(self._outbox.running))
            preferences = intent.applied(self._wishes.preferences(), now, mono)
            before, self.decision = self.decision, self._decide(self.activity, preferences, mono)
            self._memory = self.decision.memory
            if intent.said.until_away and is_away(self.activity, preferences):
                intent.say(replace(intent.said, until_away=False))
            decided = self._clock.monotonic()
            if await self._apply(before, self.decision, decided):
                working = bool(self._outbox.running)
                self.yields.gave_way(noticed or mono, decided, self._clock.monotonic(), working=working)
            if self.decision.target is Profile.PAUSED:
                self._wishes.let_go()
            self._hand_back_too_many(self.decision)
            if before is None or before.limits != self.decision.limits or mono - self._tended_at >= TEND_S:
                self._tended_at = mono
                await self._tend(self.decision, self.activity)

    def wait_s(self) -> float:
        """Seconds until the decision must be made anew, if nothing tells of a change before."""
        if self.decision is None:
            return 0.0
        until_s = self.decision.next_check - self._clock.monotonic()
        paused_by = [held.rule for held in self._memory.held if held.ceiling is Profile.PAUSED]
        working = bool(self._outbox.running)
        return min(until_s, self._sensors.every_s(self.decision.profile, working=working, paused_by=paused_by))

    def _decide(self, activity: Activity, preferences: Preferences, now: float) -> Decision:
        """As alone on this computer; where another agent shares it, again with that."""
        decision = decide(activity, preferences, self._memory, now)
        other = "" if decision.target is Profile.PAUSED else self._wishes.take_turn()
        if not other:
            return decision
        self.activity = replace(activity, other_agent=other)
        return decide(self.activity, preferences, self._memory, now)

    async def _apply(self, before: Decision | None, now: Decision, decided: float) -> bool:
        """Instant limits first, then leases, then memory. Whether limits were lowered."""
        lowered = before is not None and (now.profile < before.profile or now.limits.lowers_now(before.limits))
        was_paused = before is not None and before.profile is Profile.PAUSED
        if now.profile is Profile.PAUSED:
            if not was_paused:
                self._paused_at = self._clock.monotonic()
                await self._pause(at_once=now.unload)
            if now.unload or self._clock.monotonic() - self._paused_at >= KEEP_LOADED_S:
                self._unload(decided if now.unload else None)
        elif before is None or before.limits != now.limits or was_paused:
            await self._pool.limit(now.limits)
        return lowered

    async def _pause(self, *, at_once: bool) -> None:
        """A worker that does not obey is killed; where its memory is wanted at once, that is not waited for."""
        pausing = self._in_background(self._pool.pause(), "pause")
        done, _ = await asyncio.wait({pausing}, timeout=OBEYS_S if at_once else None)
        for task in done:
            task.result()

    def _hand_back_too_many(self, decision: Decision) -> None:
        """Release all jobs but the oldest ones that the limits allow, the youngest first."""
        keep = 0 if decision.profile is Profile.PAUSED else decision.limits.batch
        for job in self._outbox.running[keep:][::-1]:
            self._pool.hand_back(job, ReleaseReason.YIELDED)

    def _unload(self, since: float | None) -> None:
        """Give all memory back; `since`: when it was decided that somebody needs it at once."""
        if not self._pool.runners:
            return
        self._pool.unload()
        if since is not None:
            self._in_background(self.yields.memory_back(since), "memory-back")

    def _in_background(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def _mind_the_clock(self, now: float, mono: float) -> None:
        """Notice a sleep, and a clock that was set: what was said to end then moves with one that went back."""
        before, self._offset = self._offset, now - mono
        if before is None or abs(self._offset - before) <= CLOCK_GAP_S:
            return
        moved_s = self._offset - before
        log.info("the clock moved by %+.0f s: the computer slept, or it was set", moved_s)
        self._sensors.awoke()
        if moved_s < 0:
            self._wishes.intent.move(moved_s)
