"""Linux and Windows: the affinity of the process (sched_setaffinity(2), SetProcessAffinityMask), through psutil.

On Linux it is that of the calling thread, which new threads inherit: bind before there are others.
"""

from __future__ import annotations

from typing import Any

import psutil

from gogrid_desktop.core.cpus import format_cpus


class ProcessAffinity:
    def __init__(self, process: Any = None) -> None:
        self._process: Any = process or psutil.Process()

    def usable(self) -> tuple[int, ...]:
        return tuple(sorted(self._process.cpu_affinity()))

    def bind(self, cpus: tuple[int, ...]) -> str:
        try:
            self._process.cpu_affinity(list(cpus))
        except (ValueError, psutil.Error, OSError) as error:
            return f"The system refuses the CPUs {format_cpus(cpus)}: {error}."
        held = self.usable()
        return "" if held == cpus else f"The system gives the CPUs {format_cpus(held)} of {format_cpus(cpus)}."
