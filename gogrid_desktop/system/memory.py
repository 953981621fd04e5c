"""Main memory: how much there is, how much is left, and whether anybody waits for it.

Sources: psutil (MemAvailable on Linux, which counts cache that can be dropped), and Linux's pressure stall information
(Documentation/accounting/psi.rst), whose line `full avg10=...` is the share of ten seconds in which every runnable
process waited for memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

PSI = Path("/proc/pressure/memory")


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """`own_bytes`: what the processes asked about hold for themselves alone; `stalled` 0..1, 0 where nobody tells."""

    total_bytes: int
    available_bytes: int
    swap_used_bytes: int
    own_bytes: int = 0
    stalled: float = 0.0


def read(own_pids: Iterable[int] = (), psi: Path = PSI) -> MemoryReading:
    """Look now; processes that have gone meanwhile count for nothing."""
    memory = psutil.virtual_memory()
    return MemoryReading(
        total_bytes=int(memory.total),
        available_bytes=int(memory.available),
        swap_used_bytes=int(psutil.swap_memory().used),
        own_bytes=sum(private_bytes(pid) for pid in own_pids),
        stalled=_stalled(psi),
    )


def private_bytes(pid: int) -> int:
    """What a process holds and no other: a mapped model file is cache, which counts as available already."""
    try:
        info = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    private = getattr(info, "private", None)  # Windows
    return int(private if private is not None else info.rss - getattr(info, "shared", 0))


def _stalled(psi: Path) -> float:
    try:
        text = psi.read_text()
    except OSError:
        return 0.0
    match = re.search(r"^full avg10=([0-9.]+)", text, re.MULTILINE)
    return min(1.0, float(match[1]) / 100) if match else 0.0
