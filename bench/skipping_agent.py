"""The agent that the bench `reaction` measures: the real one, with a clock that leaves out waits.

After it gave way an agent holds back for minutes, longer each time, so that two hundred measurements would take days.
At SIGUSR1 this one's clock skips `SKIP_S`, and the idle time that is read grows by as much, as if nobody had touched
the computer meanwhile. Nothing is skipped between an input and what follows from it. Run with the file to write to: for
each time that it gave way a line, its moments on the monotonic clock of the system.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gogrid_desktop import log
from gogrid_desktop.agent.app import Agent
from gogrid_desktop.agent.clock import SystemClock
from gogrid_desktop.agent.parts import Parts, system_parts
from gogrid_desktop.agent.pool import WorkerPool
from gogrid_desktop.agent.yields import Yields
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.paths import app_paths
from gogrid_desktop.system.idle import IdleProbe

#: Longer than what makes one that gave way again hold back twice as long.
SKIP_S = 400.0
#: An input is newer than the last one where it came so much later: reading takes a moment.
_NEWER_S = 0.2


class SkippingClock(SystemClock):
    skipped_s = 0.0

    def skip(self) -> None:
        self.skipped_s += SKIP_S

    def now(self) -> float:
        return super().now() + self.skipped_s

    def monotonic(self) -> float:
        return super().monotonic() + self.skipped_s


class SkippingIdle:
    """A counter of idle time, and what was skipped since the last input."""

    def __init__(self, probe: IdleProbe, clock: SkippingClock) -> None:
        self.name, self.kind, self.notifies = probe.name, probe.kind, probe.notifies
        self.watch_for_input, self.close = probe.watch_for_input, probe.close
        self._probe, self._clock = probe, clock
        self._input_at, self._skipped_before_s = 0.0, 0.0

    def idle_s(self) -> float | None:
        asked_at = time.monotonic()
        idle_s = self._probe.idle_s()
        if idle_s is None:
            return None
        if asked_at - idle_s > self._input_at + _NEWER_S:
            self._input_at, self._skipped_before_s = asked_at - idle_s, self._clock.skipped_s
        return idle_s + self._clock.skipped_s - self._skipped_before_s


class WitnessedYields(Yields):
    """Writes down each time that the agent gave way. `profile`: what it decided."""

    def __init__(self, pool: WorkerPool, clock: SkippingClock, file: Path, profile: Callable[[], Profile]) -> None:
        super().__init__(pool, clock)
        self._clock_that_skips, self._file, self._profile = clock, file, profile

    def gave_way(self, noticed: float, decided: float, held: float, *, working: bool) -> None:
        super().gave_way(noticed, decided, held, working=working)
        skipped_s = self._clock_that_skips.skipped_s
        moments = {"noticed": noticed - skipped_s, "decided": decided - skipped_s, "held": held - skipped_s}
        with self._file.open("a") as lines:
            lines.write(json.dumps({"profile": self._profile().word, "working": working, **moments}) + "\n")


class WitnessedAgent(Agent):
    def __init__(self, parts: Parts, clock: SkippingClock, file: Path) -> None:
        super().__init__(parts)
        governor = self._governor
        governor.yields = WitnessedYields(
            self._pool, clock, file, lambda: governor.decision.profile if governor.decision else Profile.PAUSED
        )


def main() -> int:
    parts = system_parts(app_paths(), allow_plaintext=True)
    log.setup(parts.store.settings.log.level)
    clock = SkippingClock()
    signal.signal(signal.SIGUSR1, lambda _number, _frame: clock.skip())
    probes = replace(parts.probes, idle=tuple(SkippingIdle(probe, clock) for probe in parts.probes.idle))
    parts = replace(parts, clock=clock, probes=probes)

    async def run() -> int:
        return await WitnessedAgent(parts, clock, Path(sys.argv[1])).run()

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())
