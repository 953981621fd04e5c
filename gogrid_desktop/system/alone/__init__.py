"""One agent at a time shares a computer: two of two users would chase each other off it. One file per means."""

from __future__ import annotations

from typing import Protocol


class Turn(Protocol):
    """Whoever takes it shares; it is free again when its holder lets go, ends or is killed."""

    def take(self) -> str:
        """Take it, or keep it. Empty when it is ours, otherwise who has it, in words. Never raises, never blocks."""
        ...

    def let_go(self) -> None: ...
