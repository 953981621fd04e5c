"""What GPUs there are, how full they are, and who uses them. One file per source."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class ComputeMode(StrEnum):
    """Who may compute on a GPU (`nvmlComputeMode_t`)."""

    EVERYBODY = "everybody"
    ONE_PROCESS = "one process"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process on a GPU. `utilisation`: how much of the GPU's time it takes, 0..1. None: the driver does not say."""

    pid: int
    used_bytes: int | None
    utilisation: float | None = None


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU at one moment. None means that this GPU does not tell.

    `utilisation` is a fraction 0..1; `uuid` names it over restarts and to CUDA; `screen`: it drives a display;
    `processes`: what computes or draws on it, each process once, and `sampled_at` (monotonic, seconds; 0: with the
    reading) when their use of it was last found anew. `slowdown_c`: where the card slows itself down. `fan`: 0..1 of
    the most. `energy_j` counts up, from a moment that is not told. `pci`: its address as sysfs writes it.
    """

    index: int
    name: str
    driver: str
    vram_total_bytes: int
    vram_used_bytes: int
    vram_free_bytes: int
    utilisation: float | None
    uuid: str = ""
    screen: bool | None = None
    mode: ComputeMode | None = None
    processes: tuple[GpuProcess, ...] | None = None
    sampled_at: float = 0.0
    temperature_c: float | None = None
    slowdown_c: float | None = None
    power_w: float | None = None
    fan: float | None = None
    energy_j: float | None = None
    pci: str = ""


@dataclass(frozen=True, slots=True)
class GpuReading:
    """All GPUs; `problem` says in a sentence why there are none, and is empty when there are some.

    `taken_at`: monotonic, seconds; 0: not told.
    """

    gpus: tuple[Gpu, ...] = ()
    problem: str = ""
    taken_at: float = 0.0


class GpuProbe(Protocol):
    name: str

    def read(self) -> GpuReading:
        """Look now. Never raises."""
        ...
