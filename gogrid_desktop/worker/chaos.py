"""Faults on purpose: what a bad driver, a full memory or a broken pipe would do, at set rates and with a seed.

Inert unless the environment variable `GOGRID_CHAOS` of this very process says otherwise. No frame and no coordinator
can switch it on: it is read once, when the worker starts, from what the person who started the agent had set.

    GOGRID_CHAOS="crash=0.02,hang=0.01,slow=0.05,garbage=0.02,alloc=0.01,seed=7"
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass, fields

from gogrid_desktop.errors import BadInput, ModelFileError

ENVIRONMENT = "GOGRID_CHAOS"
SLOW_S = 0.2
MAX_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Rates:
    """How often, 0..1: before a step `crash`, `hang` or `slow` (together at most 1); after a frame `garbage`; before a
    load `alloc`. The same `seed` in the same life gives the same faults."""

    crash: float = 0.0
    hang: float = 0.0
    slow: float = 0.0
    garbage: float = 0.0
    alloc: float = 0.0
    seed: int = 0


def parse(text: str) -> Rates:
    """Read `name=value,...`; names left out are 0. Raises BadInput."""
    known = [field.name for field in fields(Rates)]
    values: dict[str, float | int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in known or name in values:
            raise BadInput(ENVIRONMENT, part, f"name=value, each once, with a name of {', '.join(known)}")
        values[name] = _seed(value) if name == "seed" else _rate(name, value)
    rates = Rates(**values)  # type: ignore[arg-type]  # the seed is the only whole number, and _seed made it
    if rates.crash + rates.hang + rates.slow > 1:
        raise BadInput(ENVIRONMENT, text, "crash + hang + slow of at most 1: a step has one fault")
    return rates


def _rate(name: str, value: str) -> float:
    try:
        rate = float(value)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise BadInput(f"{ENVIRONMENT} {name}", value, "a number from 0 to 1")
    return rate


def _seed(value: str) -> int:
    if not (value.isdecimal() and value.isascii() and int(value[:20]) <= MAX_SEED):
        raise BadInput(f"{ENVIRONMENT} seed", value, f"a whole number from 0 to {MAX_SEED}")
    return int(value)


class Dice:
    """Draws the faults of one worker process. `life` tells one process from the next, which must not die alike."""

    def __init__(self, rates: Rates, life: int) -> None:
        self._rates = rates
        # A row for each place: how many frames there are must not change which steps fail.
        rows = (random.Random(f"{rates.seed}/{life}/{place}") for place in ("step", "frame", "load"))  # noqa: S311
        self._step, self._frame, self._load = rows

    def step(self) -> str:
        """What befalls the next step: "crash", "hang", "slow" or nothing."""
        drawn, rates = self._step.random(), self._rates
        for name, rate in (("crash", rates.crash), ("hang", rates.hang), ("slow", rates.slow)):
            if drawn < rate:
                return name
            drawn -= rate
        return ""

    def garbage(self) -> bytes:
        """What slips onto the pipe after a frame: most often nothing."""
        if self._frame.random() >= self._rates.garbage:
            return b""
        return self._frame.randbytes(self._frame.randint(1, 64)).replace(b"\n", b"") + b"\n"

    def load(self) -> bool:
        """Whether the memory for a model is refused."""
        return self._load.random() < self._rates.alloc


class Chaos:
    """The three places where a worker meets its faults. Without `text` every one of them does nothing."""

    def __init__(self, text: str | None, life: int) -> None:
        self._dice = Dice(parse(text), life) if text else None

    def before_step(self) -> None:
        """Call before each decode."""
        fault = self._dice.step() if self._dice is not None else ""
        if fault == "crash":
            os.kill(os.getpid(), getattr(signal, "SIGSEGV", signal.SIGABRT))
        while fault == "hang":
            time.sleep(3600)
        if fault == "slow":
            time.sleep(SLOW_S)

    def before_load(self) -> None:
        """Call before each load. Raises ModelFileError."""
        if self._dice is not None and self._dice.load():
            raise ModelFileError(
                "There is not enough memory for the model (a fault on purpose).", f"Unset {ENVIRONMENT}."
            )

    def garbage(self) -> bytes:
        """Call after each frame, and write what it gives to the pipe."""
        return self._dice.garbage() if self._dice is not None else b""
