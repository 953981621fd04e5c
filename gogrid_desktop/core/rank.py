"""How the system ranks the worker's process: what the limits ask for in each system's own terms, and what it holds.

`Rank` is what was read back, never what was asked for. The translations are here, so that every platform's adapter only
makes calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gogrid_desktop.core.profiles import Limits

#: From this nice value on, the worker is background work to systems that have such a thing.
BACKGROUND_NICE = 15
#: ionice(1): classes whose level counts.
LEVELLED = (1, 2)
IDLE_IO = 3
_IO_WORDS = {0: "by nice", 1: "real-time", 2: "best effort", IDLE_IO: "idle"}
#: The weakest levels of best effort, where a system has only "low" and "normal".
_WEAK_LEVEL = 6


class Step(Enum):
    """How far back a process stands, where a system has no nice values; also for Windows' GPU scheduler."""

    NORMAL = "normal"
    BELOW_NORMAL = "below normal"
    IDLE = "idle"


class DiskStep(Enum):
    """How far back its disk accesses stand, where a system has no ionice."""

    NORMAL = "normal"
    LOW = "low"
    VERY_LOW = "very low"


@dataclass(frozen=True, slots=True)
class Rank:
    """What the system holds the worker to. None and "" mean that this system has no such thing.

    `nice` -20..19, of the worst placed thread; `io_class` and `io_level` as in ionice(1); `cpu_weight` 1..10000 of a
    cgroup that is the worker's alone; `autogroup_nice` of a session that is the worker's alone (sched(7)); `cpus` it
    may run on. `refused` are sentences: what could not be had, and why. `needs_restart`: only a new process can rank
    higher.
    """

    nice: int | None = None
    io_class: int | None = None
    io_level: int | None = None
    cpu_weight: int | None = None
    autogroup_nice: int | None = None
    priority_class: str = ""
    io_priority: str = ""
    gpu_priority: str = ""
    background: bool | None = None
    cpus: tuple[int, ...] = ()
    refused: tuple[str, ...] = ()
    needs_restart: bool = False

    def sentence(self) -> str:
        """What is known, in words: "nice 15, disk idle"; then what could not be had."""
        disk = _IO_WORDS.get(-1 if self.io_class is None else self.io_class, "")
        level = f" {self.io_level}" if disk and self.io_class in LEVELLED else ""
        held = {
            "nice": "" if self.nice is None else str(self.nice),
            "priority": self.priority_class,
            "disk": f"{disk}{level}" or self.io_priority,
            "GPU": self.gpu_priority,
            "CPU weight": "" if self.cpu_weight is None else str(self.cpu_weight),
            "session's nice": "" if self.autogroup_nice is None else str(self.autogroup_nice),
            "background": {None: "", True: "yes", False: ""}[self.background],
        }
        known = ", ".join(f"{name} {value}" for name, value in held.items() if value)
        again = ("A new worker takes its place when it is idle.",) if self.needs_restart else ()
        return ". ".join(part for part in (known, " ".join((*self.refused, *again))) if part)


def step_of(nice: int) -> Step:
    """A nice value 0..19 in three steps."""
    if nice >= BACKGROUND_NICE:
        return Step.IDLE
    return Step.BELOW_NORMAL if nice > 0 else Step.NORMAL


def disk_step_of(limits: Limits) -> DiskStep:
    """An ionice class and level in three steps."""
    if limits.ionice_class == IDLE_IO:
        return DiskStep.VERY_LOW
    weak = limits.ionice_class in LEVELLED and (limits.ionice_level or 0) >= _WEAK_LEVEL
    return DiskStep.LOW if weak else DiskStep.NORMAL


def nice_stays(held: int, wanted: int, *, restart: bool) -> str:
    """Why a nice value could not be lowered. `restart`: a new process would come closer."""
    who = "the administrator, or a new process," if restart else "the administrator"
    return f"nice stays {held}: only {who} can have {wanted}."


def weight_of(nice: int) -> int:
    """The `cpu.weight` that does to a cgroup what a nice value does to a thread: 100 at 0, a factor of 1.25 each.

    Source: kernel documentation, admin-guide/cgroup-v2.rst (`cpu.weight.nice`), and sched(7).
    """
    return min(10_000, max(1, round(100 * 1.25**-nice)))
