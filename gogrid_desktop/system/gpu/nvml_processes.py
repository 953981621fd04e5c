"""Who is on a GPU of NVIDIA, with how much memory and time, by NVML (nvml.h).

The driver samples the use by processes every 1/6 s to 1 s, by product, and gives each sample once, to whoever asks for
those after a time. Nothing new therefore means "as before" for a second, and only then that nobody uses it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pynvml

from gogrid_desktop.system.gpu import GpuProcess

#: The longest that a driver takes from sample to sample.
PERIOD_S = 1.0
#: After these the driver must be opened again; every other error is that of one question alone.
_FATAL = {
    pynvml.NVML_ERROR_UNINITIALIZED,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    pynvml.NVML_ERROR_GPU_IS_LOST,
    pynvml.NVML_ERROR_RESET_REQUIRED,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
}

T = TypeVar("T")


def unless_unknown(ask: Callable[[], T]) -> T | None:
    """The answer, or None where this GPU has none. Raises NVMLError where the GPU or the driver is gone."""
    try:
        return ask()
    except pynvml.NVMLError as error:
        if error.value in _FATAL:
            raise
        return None


@dataclass(slots=True)
class _Seen:
    until_us: int
    at: float
    shares: dict[int, float] = field(default_factory=dict)


class NvmlProcesses:
    """Remembers for each GPU which samples it has seen. `clock`: monotonic; `wall`: since the epoch; seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._clock, self._wall = clock, wall
        self._seen: dict[int, _Seen] = {}

    def read(self, index: int, handle: object, total_bytes: int) -> tuple[tuple[GpuProcess, ...] | None, float]:
        """Each process once, and when their use was last found anew (monotonic, seconds).

        Raises NVMLError where the GPU or the driver is gone.
        """
        held, seen = _listed(handle), self._sampled(index, handle)
        sampled_at = self._clock() if seen is None else seen.at
        if held is None:
            return None, sampled_at
        if seen is not None:
            for pid, share in seen.shares.items():
                if share > 0:
                    held.setdefault(pid, 0)  # in no list: it holds no memory any more
        found = []
        for pid, size in sorted(held.items()):
            known = size if size is not None and size <= total_bytes else None
            found.append(GpuProcess(pid, known, None if seen is None else seen.shares.get(pid, 0.0)))
        return tuple(found), sampled_at

    def _sampled(self, index: int, handle: object) -> _Seen | None:
        """None where this GPU does not tell the use by processes."""
        now, wall_us = self._clock(), int(self._wall() * 1e6)
        seen = self._seen.get(index)
        if seen is None or seen.until_us > wall_us:  # the clock was put back
            seen = _Seen(wall_us - int(PERIOD_S * 1e6), now)
        samples = unless_unknown(partial(_samples, handle, seen.until_us))
        if samples is None:
            return None
        fresh = [sample for sample in samples if sample.timeStamp > seen.until_us]
        if fresh:
            until_us = min(wall_us, max(sample.timeStamp for sample in fresh))
            shares: dict[int, float] = {}
            for sample in fresh:
                most = min(100, max(sample.smUtil, sample.encUtil, sample.decUtil))
                shares[sample.pid] = max(shares.get(sample.pid, 0.0), most / 100)
            seen = _Seen(until_us, now, shares)
        elif now - seen.at >= PERIOD_S or index not in self._seen:
            seen = _Seen(seen.until_us, now)
        self._seen[index] = seen
        return seen


def _listed(handle: object) -> dict[int, int | None] | None:
    """Those that compute and those that draw; one in both lists counts once, with the larger figure."""
    used: dict[int, int | None] = {}
    for ask in (pynvml.nvmlDeviceGetComputeRunningProcesses, pynvml.nvmlDeviceGetGraphicsRunningProcesses):
        listed: Any = unless_unknown(partial(ask, handle))
        if listed is None:
            return None
        for process in listed:
            known, size = used.get(process.pid), process.usedGpuMemory
            used[process.pid] = size if known is None else known if size is None else max(known, size)
    return used


def _samples(handle: object, since_us: int, attempts: int = 3) -> list[Any]:
    try:
        return list(pynvml.nvmlDeviceGetProcessUtilization(handle, since_us))
    except pynvml.NVMLError as error:
        if error.value in (pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_SUCCESS):
            return []
        if error.value == pynvml.NVML_ERROR_INSUFFICIENT_SIZE and attempts > 1:  # more processes than a moment ago
            return _samples(handle, since_us, attempts - 1)
        raise
