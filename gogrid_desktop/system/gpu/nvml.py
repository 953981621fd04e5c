"""NVIDIA GPUs through NVML (nvml.h), by the package nvidia-ml-py.

NVML is opened and closed around every reading, unless it is to stay open: an open handle keeps a laptop's GPU awake.
A GPU that sleeps is not asked at all, once it is known what it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pynvml

from gogrid_desktop.system.gpu import ComputeMode, Gpu, GpuReading
from gogrid_desktop.system.gpu.nvml_processes import NvmlProcesses, unless_unknown
from gogrid_desktop.system.gpu.runtime_power import asleep

log = logging.getLogger(__name__)

_MODES = {
    pynvml.NVML_COMPUTEMODE_DEFAULT: ComputeMode.EVERYBODY,
    pynvml.NVML_COMPUTEMODE_PROHIBITED: ComputeMode.NOBODY,
    pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: ComputeMode.ONE_PROCESS,
}


class NvmlGpu:
    """`known`: its GPUs as somebody read them before; without them the first reading wakes a GPU that sleeps.

    `keep_open`: from one reading to the next, until `close` or an error. `sysfs`: where the kernel shows devices.
    """

    name = "nvml"

    def __init__(
        self,
        *,
        keep_open: bool = False,
        known: tuple[Gpu, ...] = (),
        sysfs: Path = Path("/sys"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keep_open, self._known, self._sysfs, self._clock = keep_open, known, sysfs, clock
        self._processes = NvmlProcesses(clock)
        self._open = False
        self._lost: dict[int, str] = {}

    def read(self) -> GpuReading:
        if self._known and asleep(self._sysfs):
            return GpuReading(tuple(map(_at_rest, self._known)), taken_at=self._clock())
        try:
            if not self._open:
                pynvml.nvmlInit()
                self._open = True
        except pynvml.NVMLError as error:
            return GpuReading(problem=_why_not(error), taken_at=self._clock())
        try:
            driver = _text(pynvml.nvmlSystemGetDriverVersion())
            gpus, problem = self._look(pynvml.nvmlDeviceGetCount(), driver)
        except pynvml.NVMLError as error:
            gpus, problem = (), _says(error)
        if not self._keep_open or problem:
            self.close()
        self._known = gpus or self._known
        return GpuReading(gpus, "" if gpus else problem, self._clock())

    def close(self) -> None:
        if self._open:
            self._open = False
            try:
                pynvml.nvmlShutdown()
            except pynvml.NVMLError as error:  # the driver went away meanwhile
                log.debug("NVML was not closed: %s", error)

    def _look(self, count: int, driver: str) -> tuple[tuple[Gpu, ...], str]:
        """The GPUs that answer, as one that is lost does not hide the others; and what is wrong with the rest."""
        gpus: list[Gpu] = []
        lost: dict[int, str] = {}
        for index in range(count):
            try:
                gpus.append(self._gpu(index, driver))
            except pynvml.NVMLError as error:
                lost[index] = _says(error)
                if self._lost.get(index) != lost[index]:
                    log.warning("GPU %d is left out: %s", index, error)
        self._lost = lost
        return tuple(gpus), next(iter(lost.values()), "" if gpus else "The NVIDIA driver runs, but sees no GPU.")

    def _gpu(self, index: int, driver: str) -> Gpu:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory: Any = pynvml.nvmlDeviceGetMemoryInfo(handle)
        processes, sampled_at = self._processes.read(index, handle, int(memory.total))
        rates: Any = unless_unknown(partial(pynvml.nvmlDeviceGetUtilizationRates, handle))
        screen = unless_unknown(partial(pynvml.nvmlDeviceGetDisplayActive, handle))
        mode = unless_unknown(partial(pynvml.nvmlDeviceGetComputeMode, handle))
        temperature_c = _temperature(handle)
        fan = _within(0, 200, unless_unknown(partial(pynvml.nvmlDeviceGetFanSpeed, handle)))
        milliwatts = unless_unknown(partial(pynvml.nvmlDeviceGetPowerUsage, handle))
        millijoules = unless_unknown(partial(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle))
        return Gpu(
            index=index,
            name=_text(pynvml.nvmlDeviceGetName(handle)),
            driver=driver,
            vram_total_bytes=int(memory.total),
            vram_used_bytes=int(memory.used),
            vram_free_bytes=int(memory.free),
            utilisation=None if rates is None else min(1.0, rates.gpu / 100),
            uuid=_text(unless_unknown(partial(pynvml.nvmlDeviceGetUUID, handle)) or ""),
            screen=None if screen is None else bool(screen),
            mode=None if mode is None else _MODES.get(mode),
            processes=processes,
            sampled_at=sampled_at,
            temperature_c=temperature_c,
            slowdown_c=_slowdown(handle, temperature_c),
            power_w=_within(0, 10_000, None if milliwatts is None else milliwatts / 1000),
            fan=None if fan is None else min(1.0, fan / 100),
            energy_j=None if millijoules is None else millijoules / 1000,
            pci=_address(unless_unknown(partial(pynvml.nvmlDeviceGetPciInfo, handle))),
        )


def _at_rest(gpu: Gpu) -> Gpu:
    """A GPU that sleeps: nobody uses it, or it would be awake."""
    used = max(0, gpu.vram_used_bytes - sum(process.used_bytes or 0 for process in gpu.processes or ()))
    rest = replace(gpu, processes=(), sampled_at=0.0, utilisation=0.0, temperature_c=None, power_w=None, fan=None)
    return replace(rest, vram_used_bytes=used, vram_free_bytes=max(0, gpu.vram_total_bytes - used))


def _temperature(handle: object) -> float | None:
    ask = partial(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU)
    return _within(0, 150, unless_unknown(ask))


def _slowdown(handle: object, temperature_c: float | None) -> float | None:
    """The threshold; newer cards tell instead how far they are from it."""
    ask = partial(pynvml.nvmlDeviceGetTemperatureThreshold, handle, pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN)
    threshold = _within(1, 150, unless_unknown(ask))
    if threshold is not None or temperature_c is None:
        return threshold
    margin = unless_unknown(partial(pynvml.nvmlDeviceGetMarginTemperature, handle))
    return None if margin is None else _within(1, 150, temperature_c + margin)


def _within(low: float, high: float, value: float | None) -> float | None:
    """None for a value that makes no sense."""
    return float(value) if value is not None and low <= value <= high else None


def _address(pci: Any) -> str:
    return "" if pci is None else f"{pci.domain:04x}:{pci.bus:02x}:{pci.device:02x}.0"


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
