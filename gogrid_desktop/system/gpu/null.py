"""Where GPUs cannot be asked."""

from __future__ import annotations

from gogrid_desktop.system.gpu import GpuReading


class NullGpu:
    name = "none"

    def read(self) -> GpuReading:
        return GpuReading(problem="This system has no interface to its GPUs.")
