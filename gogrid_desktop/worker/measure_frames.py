"""What the agent asks the measuring process, and what that answers: one line each."""

from __future__ import annotations

from typing import Literal

from gogrid_desktop.worker.messages import Frame, Load


class Measure(Frame):
    """What computing takes for a load, with each of `cells` (KV cells of all sequences) and each of `kv_types`."""

    load: Load
    cells: tuple[int, ...]
    kv_types: tuple[Literal["f16", "q8_0"], ...] = ("f16",)


class Measurement(Frame):
    """`compute_bytes`: of the device that needs most."""

    cells: int
    kv_type: Literal["f16", "q8_0"]
    compute_bytes: int


class Measured(Frame):
    """`problem` is empty unless the model could not be measured."""

    points: tuple[Measurement, ...] = ()
    problem: str = ""
