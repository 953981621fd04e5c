"""What is asked of both sides and what came back: the same requests, the same clock, tokens really generated."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self


@dataclass(frozen=True, slots=True)
class Request:
    """The most likely token each time, `max_tokens` of them: a completion, or with `system` a chat of two messages."""

    prompt: str
    max_tokens: int
    system: str = ""


@dataclass(slots=True)
class Answer:
    """Fills up while a side is pumped. Times in seconds on `time.perf_counter`.

    `arrivals`: (time, tokens that came with it), as they reach whoever asked. `tokens` and `prompt_tokens` are the
    side's own counts, known at the end.
    """

    sent_s: float
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    prompt_tokens: int = 0
    tokens: int = 0
    ended_s: float | None = None

    @property
    def first_token_s(self) -> float:
        """From sending to the first token."""
        return self.arrivals[0][0] - self.sent_s


class Side(Protocol):
    """One of the two that are compared, as a process with a model loaded."""

    @property
    def name(self) -> str: ...

    def begin(self, request: Request) -> Answer:
        """Send it now; the answer fills up in `pump`."""

    def pump(self, timeout_s: float) -> None:
        """Take what has come; waits for something at most so long."""

    def cancel(self, answer: Answer) -> None:
        """Let a request go that has not ended."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None: ...


def pump_until(side: Side, holds: Callable[[], bool], within_s: float = 300.0) -> None:
    """Take what comes until `holds`. Raises TimeoutError."""
    end_s = time.perf_counter() + within_s
    while not holds():
        if time.perf_counter() > end_s:
            raise TimeoutError(f"{side.name} has not answered in {within_s:g} s")
        side.pump(0.5)


def tokens_per_s(side: Side, requests: Sequence[Request]) -> tuple[float, list[Answer]]:
    """All requests at once: tokens generated, over the time from the first sent to the last ended."""
    began_s = time.perf_counter()
    answers = [side.begin(request) for request in requests]
    pump_until(side, lambda: all(answer.ended_s is not None for answer in answers))
    ended_s = max(answer.ended_s or began_s for answer in answers)
    return sum(answer.tokens for answer in answers) / (ended_s - began_s), answers
