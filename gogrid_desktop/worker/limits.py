"""Holding to the limits: how often a step may run, how often a job may start, and how the system ranks this process."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

import psutil

from gogrid_desktop.core.profiles import NOTHING, Limits

_THREADS = Path("/proc/self/task")


class Pace:
    """When the next step and the next start of a job may be, on the clock that the caller reads.

    After a step of d seconds comes a rest of d * (1 / compute_share - 1), so that the share is held over any two steps.
    New limits count at once, also for the rest that is on.
    """

    def __init__(self) -> None:
        self.limits: Limits = NOTHING
        self._step_ended_s = -math.inf
        self._step_took_s = 0.0
        self._last_start_s = -math.inf

    @property
    def stopped(self) -> bool:
        """Whether the limits allow no step at all."""
        return self.limits.compute_share <= 0 or self.limits.batch < 1

    @property
    def next_step_s(self) -> float:
        if self.stopped:
            return math.inf
        return self._step_ended_s + self._step_took_s * (1 / self.limits.compute_share - 1)

    @property
    def next_start_s(self) -> float:
        return self._last_start_s + self.limits.interval_ms / 1000

    def stepped(self, began_s: float, ended_s: float) -> None:
        self._step_took_s, self._step_ended_s = ended_s - began_s, ended_s

    def started(self, now_s: float) -> None:
        self._last_start_s = now_s


def apply_rank(limits: Limits) -> int | None:
    """Rank this process for processor and disk; returns the nice value that holds, None where the system has none.

    An ordinary user may not take a higher nice value back, so that the answer can be above what was asked for.
    """
    process, nice = psutil.Process(), limits.nice
    if hasattr(psutil, "IOPRIO_CLASS_IDLE"):
        level = limits.ionice_level if limits.ionice_class in (1, 2) else None
        with contextlib.suppress(psutil.AccessDenied):  # real-time is for the administrator
            getattr(process, "ionice")(limits.ionice_class, level)  # noqa: B009 - only Linux has it with two values
    idle_class = getattr(psutil, "IDLE_PRIORITY_CLASS", None)
    if idle_class is not None:
        below_normal = getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", idle_class)
        normal = getattr(psutil, "NORMAL_PRIORITY_CLASS", idle_class)
        process.nice(idle_class if nice >= 15 else below_normal if nice > 0 else normal)
        return None
    set_priority = getattr(os, "setpriority", None)
    if set_priority is None:
        return None
    # Linux ranks single threads, and those of the matrix products keep what they were born with.
    threads = [int(entry.name) for entry in _THREADS.iterdir()] if _THREADS.is_dir() else [process.pid]
    for thread in threads:
        try:
            set_priority(0, thread, nice)
        except PermissionError:
            break
        except ProcessLookupError:
            continue  # it ended meanwhile
    return int(process.nice())


def usable_cores() -> int:
    """Physical cores that this process may run on."""
    logical = psutil.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or logical
    affinity = getattr(psutil.Process(), "cpu_affinity", None)  # macOS has none
    return max(1, min(physical, len(affinity()) if affinity is not None else logical))
