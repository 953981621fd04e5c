"""GPUs of NVIDIA on Windows, where its driver leaves it to Windows to say who uses them (WDDM)."""

from __future__ import annotations

from dataclasses import replace

from gogrid_desktop.system.gpu import Gpu, GpuProbe, GpuProcess, GpuReading
from gogrid_desktop.system.gpu.windows_pdh import PdhGpus


class WindowsGpus:
    """What NVML tells stands; Windows adds what it does not tell, for the processes that NVML sees on the card."""

    name = "windows"

    def __init__(self, nvidia: GpuProbe, counters: PdhGpus) -> None:
        self._nvidia, self._counters = nvidia, counters

    def read(self) -> GpuReading:
        reading = self._nvidia.read()
        if not any(_untold(process) for gpu in reading.gpus for process in gpu.processes or ()):
            return reading
        shares, used = self._counters.read()
        # Without any rate Windows has none, as on the first reading; then nothing is known of those that are not named.
        return replace(reading, gpus=tuple(_with(gpu, shares, used) for gpu in reading.gpus))


def _untold(process: GpuProcess) -> bool:
    return process.utilisation is None or process.used_bytes is None


def _with(gpu: Gpu, shares: dict[int, float], used: dict[int, int]) -> Gpu:
    return replace(
        gpu,
        processes=None
        if gpu.processes is None
        else tuple(
            GpuProcess(
                one.pid,
                used.get(one.pid) if one.used_bytes is None else one.used_bytes,
                (shares.get(one.pid, 0.0) if shares else None) if one.utilisation is None else one.utilisation,
            )
            for one in gpu.processes
        ),
    )
