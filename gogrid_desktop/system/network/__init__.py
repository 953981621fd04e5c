"""Whether the network costs by the byte. One file per source; each says "unknown" rather than guess."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class NetworkProbe(Protocol):
    """`name` is what `gogrid doctor` shows."""

    name: str

    def metered(self) -> bool | None:
        """Never raises, never blocks for long; None when it is unknown."""
        ...

    def watch(self, changed: Callable[[], None]) -> None:
        """Have `changed` called, from any thread, when it may be otherwise. It must not ask the probe."""
        ...
