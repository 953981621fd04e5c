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


def nice_stays(held: int, wanted: int) -> str:
    """Why a nice value could not be lowered."""
    return f"nice stays {held}: only the administrator, or a new process, can have {wanted} again."


def weight_of(nice: int) -> int:
    """The `cpu.weight` that does to a cgroup what a nice value does to a thread: 100 at 0, a factor of 1.25 each.

    Source: kernel documentation, admin-guide/cgroup-v2.rst (`cpu.weight.nice`), and sched(7).
    """
    return min(10_000, max(1, round(100 * 1.25**-nice)))
