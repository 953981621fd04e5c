"""All GPUs of a Linux machine: NVIDIA's by their driver, AMD's by the kernel."""

from __future__ import annotations

import time
from collections.abc import Callable

from gogrid_desktop.system.gpu import GpuProbe, GpuReading
from gogrid_desktop.system.gpu.amdgpu import AmdGpus

#: A driver of NVIDIA that is not there is looked for so often.
AGAIN_S = 10.0


class LinuxGpus:
    """AMD's are numbered after NVIDIA's: `first` of these are known to be there. `clock`: monotonic, seconds."""

    name = "linux"

    def __init__(
        self, nvidia: GpuProbe, amd: AmdGpus, first: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._nvidia, self._amd, self._first, self._clock = nvidia, amd, first, clock
        self._problem = ""
        self._again_at = 0.0

    def read(self) -> GpuReading:
        now, nvidia = self._clock(), GpuReading(problem=self._problem)
        if not self._problem or now >= self._again_at:
            nvidia = self._nvidia.read()
            self._problem, self._again_at = nvidia.problem, now + AGAIN_S
        self._first = max([self._first, *(gpu.index + 1 for gpu in nvidia.gpus)])
        gpus = nvidia.gpus + self._amd.read(self._first)
        return GpuReading(gpus, "" if gpus else nvidia.problem, self._clock())
