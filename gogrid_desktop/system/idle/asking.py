"""How a service on a bus is asked: what took too long rests, as whoever decides asks again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

LONG_S, REST_S = 0.5, 10.0

T = TypeVar("T")


def ms_in_s(answer: tuple[Any, ...] | None) -> float | None:
    """The seconds of an answer in ms; None where there is none, or it is something else."""
    match answer:
        case (int() as ms,):
            return ms / 1000.0
        case _:
            return None


class Patience:
    """Lets a source rest that was slow once. `clock`: monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._not_before = -REST_S

    def ask(self, question: Callable[[], T | None]) -> T | None:
        """What `question` returns; None while the source rests."""
        began = self._clock()
        if began < self._not_before:
            return None
        try:
            return question()
        finally:
            ended = self._clock()
            if ended - began >= LONG_S:
                self._not_before = ended + REST_S
