"""What the watching process and its parent say to each other: a JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gogrid_desktop.system.gpu import ComputeMode, Gpu, GpuProcess, GpuReading


@dataclass(frozen=True, slots=True)
class Ask:
    """To the watching process. `every_s`: sample so often from now on; None: only when asked. `now`: sample at once.

    `known`: GPUs as they were read before, so that none need be woken to know what it is.
    """

    every_s: float | None = None
    now: bool = False
    known: tuple[Gpu, ...] = ()


def write_ask(ask: Ask) -> bytes:
    return _line(asdict(ask))


def read_ask(line: bytes) -> Ask:
    """Raises ValueError for anything else."""
    try:
        said = json.loads(line)
        every_s = said["every_s"]
        return Ask(None if every_s is None else float(every_s), bool(said["now"]), _gpus(said["known"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no question: {error}") from error


def write_reading(reading: GpuReading) -> bytes:
    return _line(asdict(reading))


def read_reading(line: bytes) -> GpuReading:
    """Raises ValueError for anything else."""
    try:
        said = json.loads(line)
        return GpuReading(_gpus(said["gpus"]), str(said["problem"]), float(said["taken_at"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no reading: {error}") from error


def _gpus(said: Sequence[dict[str, Any]]) -> tuple[Gpu, ...]:
    return tuple(
        Gpu(
            **{
                **gpu,
                "mode": None if gpu["mode"] is None else ComputeMode(gpu["mode"]),
                "processes": None if gpu["processes"] is None else tuple(GpuProcess(**one) for one in gpu["processes"]),
            }
        )
        for gpu in said
    )


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
