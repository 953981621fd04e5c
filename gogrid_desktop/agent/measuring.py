"""Asks a process of its own what computing with a model takes.

On a GPU this takes the driver's context there for a moment: measure when a model may be loaded, not while paused.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace

from pydantic import ValidationError

from gogrid_desktop.agent.planning import OnDisk, wish_for
from gogrid_desktop.agent.supervisor import worker_environment
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.core.memory_need import ComputeCost, kv_types, line_through
from gogrid_desktop.core.vram import cells_for
from gogrid_desktop.errors import WorkerError, WorkerStartFailed
from gogrid_desktop.worker.measure_frames import Measure, Measured, Measurement
from gogrid_desktop.worker.messages import Load

log = logging.getLogger(__name__)

TIMEOUT_S = 60.0
_COMMAND = (sys.executable, "-m", "gogrid_desktop.worker.measure")


class Measures:
    """Measures each model once for what the settings want of it; what failed is not tried again."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._known: dict[tuple[object, ...], ComputeCost | None] = {}
        self._one_at_a_time = asyncio.Lock()

    async def of(self, model: OnDisk) -> OnDisk:
        """The same with what computing takes; as it was where that cannot be found out."""
        settings = self._settings()
        key = (model.file.sha256, wish_for(model, settings))
        async with self._one_at_a_time:
            if key not in self._known:
                self._known[key] = (await measure(model, settings)).compute
        return replace(model, compute=self._known[key])


async def measure(model: OnDisk, settings: Settings) -> OnDisk:
    """The same with what computing takes; as it was where that cannot be found out, which the log then says."""
    wish = wish_for(model, settings)
    types = kv_types(model.facts)
    load = Load(
        path=str(model.file.path),
        sha256=model.file.sha256,
        context=wish.context,
        total_context=wish.context,
        slots=wish.slots,
        gpu_layers=settings.worker.gpu_layers,
    )
    cells = cells_for(wish.least_context, 1, own=True), cells_for(wish.context, wish.slots, own=True)
    ask = Measure(load=load, cells=cells, kv_types=tuple(kv_type.value for kv_type in types))
    try:
        answer = await _ask(ask)
    except WorkerError as error:
        log.warning("%s is not measured: %s", model.id, error)
        return model
    compute = line_of(answer.points)
    if compute is None:
        log.warning("%s is not measured: %s", model.id, answer.problem or "llama.cpp does not say what it takes")
        return model
    return replace(model, compute=compute)


def line_of(points: tuple[Measurement, ...]) -> ComputeCost | None:
    """The line through the most of each number of cells; None where no buffer was named."""
    most: dict[int, int] = {}
    for point in points:
        most[point.cells] = max(most.get(point.cells, 0), point.compute_bytes)
    if not most or min(most.values()) == 0:
        return None
    return line_through((min(most), most[min(most)]), (max(most), most[max(most)]))


async def _ask(ask: Measure) -> Measured:
    """Start the process, ask, and end it. Raises WorkerError."""
    try:
        process = await asyncio.create_subprocess_exec(
            *_COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=worker_environment(os.environ),
        )
    except OSError as error:
        raise WorkerStartFailed(f"The measuring process cannot be started: {error}.") from error
    try:
        line, _ = await asyncio.wait_for(process.communicate(ask.model_dump_json().encode() + b"\n"), TIMEOUT_S)
        return Measured.model_validate_json(line)
    except TimeoutError as error:
        raise WorkerError(f"The measuring process did not answer within {TIMEOUT_S:.0f} s.") from error
    except ValidationError as error:
        raise WorkerError(f"The measuring process ended with {process.returncode}.") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
