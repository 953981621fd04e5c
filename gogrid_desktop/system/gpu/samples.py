"""A reading as the deciding core takes it."""

from __future__ import annotations

from gogrid_desktop.core.gpu_use import GpuSample, ProcessSample
from gogrid_desktop.system.gpu import GpuReading


def samples(reading: GpuReading) -> tuple[GpuSample, ...]:
    """One for each GPU, in their order."""
    return tuple(
        GpuSample(
            index=gpu.index,
            total_bytes=gpu.vram_total_bytes,
            free_bytes=gpu.vram_free_bytes,
            used_bytes=gpu.vram_used_bytes,
            sampled_at=gpu.sampled_at or reading.taken_at,
            utilisation=gpu.utilisation,
            processes=None
            if gpu.processes is None
            else tuple(ProcessSample(one.pid, one.used_bytes, one.utilisation) for one in gpu.processes),
            temperature_c=gpu.temperature_c,
            slowdown_c=gpu.slowdown_c,
            screen=gpu.screen,
        )
        for gpu in reading.gpus
    )
