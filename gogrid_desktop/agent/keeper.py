"""Keeps memory in order: looks at what there is, judges how scarce it is, and has the pool act on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gogrid_desktop.agent.budget import Budget
from gogrid_desktop.agent.clock import Clock
from gogrid_desktop.agent.gpu_sense import Lent
from gogrid_desktop.agent.planning import Machine, OnDisk, has_unified_memory, usable_gpus
from gogrid_desktop.agent.pool import WorkerPool
from gogrid_desktop.agent.stock import Stock
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.core.activity import Activity, is_away
from gogrid_desktop.core.policy import Decision
from gogrid_desktop.core.pressure import Answer, Level, Pressure, answer, assess
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Profile
from gogrid_desktop.system import memory
from gogrid_desktop.system.gpu import GpuProbe, GpuReading

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wants:
    """What the person and the grid want, asked anew at each look."""

    settings: Callable[[], Settings]
    models: Callable[[], Mapping[str, OnDisk]]


class Keeper:
    """`tend` after each decision. `level`: the worst pressure of all memories."""

    def __init__(self, pool: WorkerPool, stock: Stock, wants: Wants, gpus: GpuProbe, clock: Clock) -> None:
        self._pool, self._stock, self._wants, self._gpus, self._clock = pool, stock, wants, gpus, clock
        self._pressures: dict[int, Pressure] = {}
        self._given = 0.0
        self._answer = Answer(slots=0, prefixes=True, more=True, shrink=False)

    @property
    def level(self) -> Level:
        return max((pressure.level for pressure in self._pressures.values()), default=Level.LOW)

    async def tend(self, decision: Decision, activity: Activity) -> None:
        """Give memory back where it is scarce, otherwise load what is wanted."""
        models, settings = self._wants.models(), self._wants.settings()
        if not self._pool.plans and (not models or decision.profile is Profile.PAUSED):
            return
        lent = Lent(settings.gpu.ceilings())
        gpus, ram = await asyncio.to_thread(self._look, lent)
        if gpus.gpus and not self._pool.backends:
            await self._pool.scout()
        held = self._pool.held()
        # A mapped model file is cache to the system; but what a plan granted is needed, and must not be given twice.
        mapped = max(0, sum(one.ram_bytes for one in held) - ram.own_bytes)
        ceilings = {gpu.uuid: lent.ceiling(gpu) for gpu in gpus.gpus}
        self._pool.ceilings = {uuid: PROFILE_LIMITS[ceiling] for uuid, ceiling in ceilings.items()}
        machine = Machine(
            gpus=usable_gpus(gpus, self._pool.backends),
            ram_total_bytes=ram.total_bytes,
            ram_available_bytes=max(0, ram.available_bytes - mapped),
            present=not is_away(activity, settings.preferences()),
            ours=held,
            ceilings=ceilings,
            unified=has_unified_memory(self._pool.backends),
        )
        budget = Budget(models, settings, decision.limits, machine, ram)
        before = self.level
        self._pressures = self._assess(budget)
        more_given = decision.limits.vram_fraction > self._given
        self._given = decision.limits.vram_fraction
        if more_given or self.level < Level.HIGH <= before:
            self._stock.reconsider()
        if self.level != before:
            log.info("memory pressure is %s", self.level.word)
        now = answer(tuple(self._pressures.values()), settings.models.slots)
        if (now.slots, now.prefixes) != (self._answer.slots, self._answer.prefixes):
            await self._pool.room(now.slots, prefixes=now.prefixes)
        self._answer = now
        if decision.profile > Profile.PAUSED:
            self._stock.tend(budget, now, unload_after_s=settings.models.unload_after_s)
        elif now.shrink:
            self._pool.unload()

    def _look(self, lent: Lent) -> tuple[GpuReading, memory.MemoryReading]:
        return lent.gpus(self._gpus.read()), memory.read(self._pool.pids())

    def _assess(self, budget: Budget) -> dict[int, Pressure]:
        now = self._clock.monotonic()
        readings = budget.readings(self._pool.held()).items()
        return {index: assess(self._pressures.get(index, Pressure()), reading, now) for index, reading in readings}
