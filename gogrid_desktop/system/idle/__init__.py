"""How long ago the person touched keyboard or pointer. One file per source; each says "unknown" rather than guess."""

from __future__ import annotations

from typing import Protocol


class IdleProbe(Protocol):
    """`name` is what `gogrid doctor` and the status show."""

    name: str

    def idle_s(self) -> float | None:
        """Seconds since the last input; None when this source cannot know. Never raises, never blocks for long."""
        ...
