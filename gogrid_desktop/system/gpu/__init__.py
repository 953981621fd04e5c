"""What GPUs there are and how full they are. One file per source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU at one moment. `utilisation` is a fraction 0..1; None means that this GPU does not tell."""

    index: int
    name: str
    driver: str
    vram_total_bytes: int
    vram_used_bytes: int
    vram_free_bytes: int
    utilisation: float | None


@dataclass(frozen=True, slots=True)
class GpuReading:
    """All GPUs; `problem` says in a sentence why there are none, and is empty when there are some."""

    gpus: tuple[Gpu, ...] = ()
    problem: str = ""


class GpuProbe(Protocol):
    name: str

    def read(self) -> GpuReading:
        """Look now. Never raises."""
        ...
