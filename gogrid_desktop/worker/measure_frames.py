"""What the agent asks the measuring process, and what that answers: one line each."""

from __future__ import annotations

from typing import Literal

from gogrid_desktop.worker.messages import Frame


class Measure(Frame):
    """What computing takes for the model at `path`, for each of `cells` (KV cells of all sequences) and `kv_types`.

    `rows`: most tokens of a step. Without a path only the devices are asked for.
    """

    path: str = ""
    gpu_layers: int = 0
    slots: int = 1
    rows: int = 1
    cells: tuple[int, ...] = ()
    kv_types: tuple[Literal["f16", "q8_0"], ...] = ("f16",)


class Measurement(Frame):
    """`compute_bytes`: of the device that needs most."""

    cells: int
    kv_type: Literal["f16", "q8_0"]
    compute_bytes: int


class Measured(Frame):
    """`backends` as in `Hello`; `problem` is empty unless the model could not be measured."""

    backends: tuple[str, ...]
    points: tuple[Measurement, ...] = ()
    problem: str = ""
