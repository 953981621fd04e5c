"""What GPUs there are and how full they are. One file per source."""

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
    """A process on a GPU; `used_bytes` None: the driver does not say."""

    pid: int
    used_bytes: int | None


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU at one moment. None means that this GPU does not tell.

    `utilisation` is a fraction 0..1; `uuid` names it over restarts and to CUDA; `screen`: it drives a display;
    `processes`: what computes or draws on it, each process once.
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
