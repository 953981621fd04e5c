"""Sense, decide, apply: the one place where a decision becomes limits, leases handed back, and memory given up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from gogrid_desktop.agent.clock import Clock
from gogrid_desktop.agent.outbox import Outbox
from gogrid_desktop.agent.pool import WorkerPool
from gogrid_desktop.agent.sensors import Sensors
from gogrid_desktop.core.activity import Activity, Preferences
from gogrid_desktop.core.policy import Decision, Memory, decide
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.paths import write_private
from gogrid_desktop.protocol.grid import ReleaseReason

#: Paused for this long, the model's memory is given back.
KEEP_LOADED_S = 60.0


class Governor:
    """Decides anew whenever it is told to think. `tend` brings memory into line with what was decided."""

    def __init__(
        self,
        sensors: Sensors,
        preferences: Callable[[], Preferences],
        pool: WorkerPool,
        outbox: Outbox,
        clock: Clock,
        snooze_file: Path,
        tend: Callable[[Decision, Activity], Awaitable[None]],
    ) -> None:
        self.decision: Decision | None = None
        self.activity: Activity | None = None
        self.yields = 0
        self._sensors, self._preferences, self._pool, self._outbox = sensors, preferences, pool, outbox
        self._clock, self._snooze_file, self._tend = clock, snooze_file, tend
        self._thinking = asyncio.Lock()
        self._memory = Memory()
        self._paused_at = 0.0
        self.snooze_until = self._remembered_snooze()

    async def think(self) -> None:
        """Returns when the decision holds: no step under the old limits runs any more."""
        async with self._thinking:
            now, mono = self._clock.now(), self._clock.monotonic()
            if self.snooze_until is not None and self.snooze_until <= now:
                self.snooze(None)
            self.activity = await asyncio.to_thread(self._sensors.read, len(self._outbox.running))
            # The policy's clock is the one that never jumps; a snooze ends on the clock on the wall.
            snooze_until = None if self.snooze_until is None else mono + self.snooze_until - now
            preferences = replace(self._preferences(), snooze_until=snooze_until)
            before, self.decision = self.decision, decide(self.activity, preferences, self._memory, mono)
            self._memory = self.decision.memory
            await self._apply(before, self.decision)
            await self._tend(self.decision, self.activity)

    def wait_s(self) -> float:
        """Seconds until time alone could change the decision."""
        return 0.0 if self.decision is None else self.decision.next_check - self._clock.monotonic()

    def snooze(self, until: float | None) -> None:
        """Pause until this moment (seconds since the epoch), over restarts too; None ends it."""
        self.snooze_until = until
        if until is None:
            self._snooze_file.unlink(missing_ok=True)
        else:
            write_private(self._snooze_file, json.dumps({"until": until}).encode())

    async def _apply(self, before: Decision | None, now: Decision) -> None:
        """Instant limits first, then leases, then memory."""
        if before is not None and now.profile < before.profile and self._outbox.running:
            self.yields += 1
        was_paused = before is not None and before.profile is Profile.PAUSED
        if now.profile is Profile.PAUSED:
            if not was_paused:
                self._paused_at = self._clock.monotonic()
                await self._pool.pause()
                self._hand_back(keep=0)
            elif self._clock.monotonic() - self._paused_at >= KEEP_LOADED_S:
                self._pool.unload()
            return
        if before is None or before.limits != now.limits or was_paused:
            await self._pool.limit(now.limits)
            self._hand_back(keep=now.limits.batch)

    def _hand_back(self, keep: int) -> None:
        """Release all jobs but the oldest `keep`, the youngest first."""
        for job in self._outbox.running[keep:][::-1]:
            self._pool.hand_back(job, ReleaseReason.YIELDED)

    def _remembered_snooze(self) -> float | None:
        try:
            until = json.loads(self._snooze_file.read_text())["until"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return until if isinstance(until, float) else None
