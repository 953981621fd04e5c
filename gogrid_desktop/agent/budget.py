"""One look at the memory there is, as the pool asks for it: what fits, and how scarce memory is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gogrid_desktop.agent import planning
from gogrid_desktop.agent.planning import Held, Machine, NoRoom, OnDisk, Planned
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.core import pressure
from gogrid_desktop.core.profiles import Limits
from gogrid_desktop.core.vram import reserve_bytes
from gogrid_desktop.system.gpu import Gpu
from gogrid_desktop.system.memory import MemoryReading


@dataclass(frozen=True, slots=True)
class Budget:
    """`models`: every file of the catalogue that is here, by hash; `memory`: what `machine` was made from."""

    models: Mapping[str, OnDisk]
    settings: Settings
    limits: Limits
    machine: Machine
    memory: MemoryReading

    @property
    def names(self) -> Mapping[str, str]:
        """The catalogue's name of each model."""
        return {sha256: model.id for sha256, model in self.models.items()}

    def plan(self, model: str, held: Sequence[Held]) -> Planned | NoRoom:
        """How to hold a model beside what the other workers hold."""
        if model not in self.models:
            return NoRoom(why="its file is not on this computer", short_bytes=0)
        return self._with_settings(
            planning.plan_for(self.models[model], self.settings, self.limits, self.machine, held)
        )

    def context(self, model: str) -> int:
        """What a plan would at best offer of a model, in tokens."""
        return planning.wish_for(self.models[model], self.settings).context

    def fits(self, held: Sequence[Held]) -> tuple[str, ...]:
        """All models that fit beside what is held."""
        return planning.fits(tuple(self.models.values()), self.settings, self.limits, self.machine, held)

    def first(self) -> Planned | NoRoom:
        """The model to hold before anybody asks."""
        models = tuple(self.models.values())
        return self._with_settings(planning.choose(models, self.settings, self.limits, self.machine))

    def allows(self, held: Sequence[Held]) -> bool:
        """Whether what is held fits what the person gives of each memory, were nobody else there.

        What others take is judged with patience, from `readings`: a plan may fill its budget to the last byte, and one
        more window of a browser must not have a model loaded anew.
        """
        gpus = tuple(replace(gpu, vram_used_bytes=0, vram_free_bytes=gpu.vram_total_bytes) for gpu in self.machine.gpus)
        alone = replace(self.machine, gpus=gpus, ram_available_bytes=self.machine.ram_total_bytes)
        return not planning.over_budget(held, self.limits, alone)

    def measured(self, planned: Planned, loaded_bytes: int, pid: int) -> Held:
        """What a worker holds that has loaded."""
        return planning.measured(planned, loaded_bytes, pid, self.machine)

    def outgrown(self, planned: Planned, held: Sequence[Held]) -> str:
        """What is to be said of a model that is held as small as can be, and still takes too much."""
        said = (planning.grown(planned, one, self.limits, self.machine) for one in held)
        return next(filter(None, said), "the model takes more memory than was planned for it")

    def readings(self, held: Sequence[Held]) -> dict[int, pressure.Reading]:
        """Of each GPU, by its index, and of main memory (-1)."""
        main = pressure.Reading(
            total_bytes=self.memory.total_bytes,
            used_bytes=self.memory.total_bytes - self.memory.available_bytes,
            own_bytes=self.memory.own_bytes,
            granted_bytes=sum(one.ram_bytes for one in held),
            reserve_bytes=reserve_bytes(self.memory.total_bytes, gentle=self.machine.present),
            stalled=self.memory.stalled,
        )
        grants: Counter[int] = Counter()
        for one in held:
            grants.update(dict(one.gpu_bytes))
        return {-1: main} | {gpu.index: self._gpu(gpu, grants[gpu.index]) for gpu in self.machine.gpus}

    def _with_settings(self, planned: Planned | NoRoom) -> Planned | NoRoom:
        """With how the person wants the file to be held, which changes nothing of what fits."""
        if isinstance(planned, NoRoom):
            return planned
        worker = self.settings.worker
        wanted = replace(planned.wanted, mmap=worker.mmap, mlock=worker.mlock, numa=worker.numa)
        return replace(planned, wanted=wanted)

    def _gpu(self, gpu: Gpu, granted_bytes: int) -> pressure.Reading:
        return pressure.Reading(
            total_bytes=gpu.vram_total_bytes,
            used_bytes=gpu.vram_used_bytes,
            own_bytes=granted_bytes,  # llama.cpp takes all it will ever take of a GPU when it loads
            granted_bytes=granted_bytes,
            reserve_bytes=reserve_bytes(gpu.vram_total_bytes, gentle=self.machine.present),
        )
