"""What others use of the GPUs that the person lends, asked as often as it matters.

While jobs run four times a second, so that a game is seen within half a second; once a second while there is nothing
to yield; slowly while a GPU itself is the reason of a pause; and not at all while something else is: an open driver
keeps a laptop's GPU awake.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from gogrid_desktop.core.gpu_use import GpuUse, GpuUses
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.system.gpu import Gpu, GpuProbe, GpuReading
from gogrid_desktop.system.gpu.samples import samples
from gogrid_desktop.system.processes import Processes

WORKING_EVERY_S, READY_EVERY_S, PAUSED_EVERY_S = 0.25, 1.0, 2.0
#: Rules that look at the GPU: a pause of theirs alone is seen to end by looking on.
_GPU_RULES = frozenset({"game", "heat", "foreign GPU", "system"})


class GpuWatch(GpuProbe, Protocol):
    """`system.gpu.watched`."""

    @property
    def latest(self) -> GpuReading: ...

    def watch(self, every_s: float | None, heard: Callable[[GpuReading], None]) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Lent:
    """`at_most`: of single GPUs, by number or UUID; `beside`: programs whose use does not count, in lower case."""

    at_most: Mapping[str, Profile] = field(default_factory=dict)
    beside: frozenset[str] = frozenset()

    def ceiling(self, gpu: Gpu) -> Profile:
        names = (str(gpu.index), gpu.uuid)
        return min((self.at_most[name] for name in names if name in self.at_most), default=Profile.AGGRESSIVE)

    def gpus(self, reading: GpuReading) -> GpuReading:
        """The GPUs that are lent."""
        kept = tuple(gpu for gpu in reading.gpus if self.ceiling(gpu) > Profile.PAUSED)
        if reading.gpus and not kept:
            return replace(reading, gpus=(), problem="No GPU is lent: gpu.at_most says paused for all.")
        return replace(reading, gpus=kept)


class GpuSense:
    """`workers`: pids of our own. `uses` is asked from one thread at a time."""

    def __init__(self, watch: GpuWatch, workers: Callable[[], Iterable[int]], lent: Callable[[], Lent]) -> None:
        self._watch, self._workers, self._lent = watch, workers, lent
        self._uses, self._processes = GpuUses(), Processes()
        self._every_s: float | None = None
        self._notice: Callable[[], None] = lambda: None
        self._problem, self._ever = "", False

    def start(self, notice: Callable[[], None]) -> None:
        """Have `notice` called with each reading."""
        self._notice = notice

    def close(self) -> None:
        self._watch.close()

    def pace(self, profile: Profile, *, working: bool, paused_by: Collection[str]) -> None:
        """Look as often as matters now."""
        if profile > Profile.PAUSED:
            every_s: float | None = WORKING_EVERY_S if working else READY_EVERY_S
        else:
            every_s = PAUSED_EVERY_S if paused_by and _GPU_RULES.issuperset(paused_by) else None
        if every_s != self._every_s:
            self._every_s = every_s
            self._watch.watch(every_s, self._heard)

    def uses(self) -> tuple[tuple[GpuUse, ...], str]:
        """What is used, and why a GPU that was there cannot be seen any more. Not looked at: use by others unknown."""
        lent, latest = self._lent(), self._watch.latest
        self._problem = latest.problem
        reading = lent.gpus(latest)
        on_gpus = {process.pid for gpu in reading.gpus for process in gpu.processes or ()}
        names = self._processes.names(on_gpus)
        ours = self._processes.ours(self._workers(), on_gpus)
        beside = {pid for pid, name in names.items() if name.lower().removesuffix(".exe") in lent.beside}
        uses = self._uses.take(samples(reading), ours | beside, names)
        if self._every_s is None:
            uses = tuple(replace(use, foreign_low=None, foreign_high=None) for use in uses)
        self._ever = self._ever or bool(latest.gpus)
        return uses, latest.problem if self._ever and self._every_s is not None else ""

    @property
    def notes(self) -> tuple[str, ...]:
        return (self._problem,) if self._problem and self._ever else ()

    def _heard(self, reading: GpuReading) -> None:
        self._notice()
