"""NVIDIA GPUs through NVML (nvml.h), by the package nvidia-ml-py.

NVML is opened and closed around every reading: an open handle keeps a laptop's GPU awake.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import pynvml

from gogrid_desktop.system.gpu import ComputeMode, Gpu, GpuProcess, GpuReading

log = logging.getLogger(__name__)

T = TypeVar("T")

_MODES = {
    pynvml.NVML_COMPUTEMODE_DEFAULT: ComputeMode.EVERYBODY,
    pynvml.NVML_COMPUTEMODE_PROHIBITED: ComputeMode.NOBODY,
    pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: ComputeMode.ONE_PROCESS,
}


class NvmlGpu:
    name = "nvml"

    def read(self) -> GpuReading:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            return GpuReading(problem=_why_not(error))
        try:
            driver = _text(pynvml.nvmlSystemGetDriverVersion())
            count = pynvml.nvmlDeviceGetCount()
            return _reading(count, driver)
        except pynvml.NVMLError as error:
            return GpuReading(problem=_says(error))
        finally:
            pynvml.nvmlShutdown()


def _reading(count: int, driver: str) -> GpuReading:
    """The GPUs that answer: one that is lost does not hide the others."""
    gpus: list[Gpu] = []
    problem = "The NVIDIA driver runs, but sees no GPU."
    for index in range(count):
        try:
            gpus.append(_gpu(index, driver))
        except pynvml.NVMLError as error:
            problem = _says(error)
            log.warning("GPU %d is left out: %s", index, error)
    return GpuReading(tuple(gpus)) if gpus else GpuReading(problem=problem)


def _gpu(index: int, driver: str) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory: Any = pynvml.nvmlDeviceGetMemoryInfo(handle)
    rates: Any = _unless_unsupported(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle))
    screen = _unless_unsupported(lambda: pynvml.nvmlDeviceGetDisplayActive(handle))
    mode = _unless_unsupported(lambda: pynvml.nvmlDeviceGetComputeMode(handle))
    return Gpu(
        index=index,
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        driver=driver,
        vram_total_bytes=int(memory.total),
        vram_used_bytes=int(memory.used),
        vram_free_bytes=int(memory.free),
        utilisation=None if rates is None else min(1.0, rates.gpu / 100),
        uuid=_text(_unless_unsupported(lambda: pynvml.nvmlDeviceGetUUID(handle)) or ""),
        screen=None if screen is None else bool(screen),
        mode=None if mode is None else _MODES.get(mode),
        processes=_processes(handle),
    )


def _processes(handle: object) -> tuple[GpuProcess, ...] | None:
    """Those that compute and those that draw; one in both lists counts once, with the larger figure."""
    used: dict[int, int | None] = {}
    for ask in (pynvml.nvmlDeviceGetComputeRunningProcesses, pynvml.nvmlDeviceGetGraphicsRunningProcesses):
        listed: Any = _unless_unsupported(partial(ask, handle))
        if listed is None:
            return None
        for process in listed:
            known, size = used.get(process.pid), process.usedGpuMemory
            used[process.pid] = size if known is None else known if size is None else max(known, size)
    return tuple(GpuProcess(pid, size) for pid, size in sorted(used.items()))


def _unless_unsupported(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
        return None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _says(error: pynvml.NVMLError) -> str:
    return f"The NVIDIA driver answers with an error: {error}."


def _why_not(error: pynvml.NVMLError) -> str:
    match error.value:
        case pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            return "No NVIDIA driver is installed."
        case pynvml.NVML_ERROR_DRIVER_NOT_LOADED:
            return "The NVIDIA driver is installed, but not loaded."
        case pynvml.NVML_ERROR_NO_PERMISSION:
            return "This user may not use the NVIDIA driver."
        case _:
            return f"The NVIDIA driver does not start: {error}."
