"""What others use of a GPU: all of it, less what is our own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuUse:
    """One GPU at one moment. None: unknown.

    `foreign_low` and `foreign_high`: the least and the most of the last two fresh samples of what other processes use
    of its time, 0..1, so that one sample alone neither trips a rule nor lifts it. `foreign_bytes`: what they hold of
    its memory, `free_bytes` of `total_bytes` being free. `slowdown_c`: where the card slows itself down. `screen`: it
    drives a display. `program`: who uses most of it, by its executable; empty where nobody does or nobody tells.
    """

    index: int
    total_bytes: int
    free_bytes: int
    foreign_low: float | None = None
    foreign_high: float | None = None
    foreign_bytes: int | None = None
    temperature_c: float | None = None
    slowdown_c: float | None = None
    screen: bool | None = None
    program: str = ""
