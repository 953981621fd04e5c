"""What a person does without touching anything: watching, playing, talking. One file per source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gogrid_desktop.core.attention import Attention

#: Who keeps the screen from going dark without a name.
SOMEBODY = "a program"


class AttentionProbe(Protocol):
    """`name` is what `gogrid doctor` shows."""

    name: str

    def read(self) -> Attention:
        """Never raises, never blocks for long; `Attention()` when nothing is known."""
        ...

    def watch(self, changed: Callable[[], None]) -> None:
        """Have `changed` called, from any thread, when `inhibitor` or `game_mode` may be another.

        A call announces itself nowhere: it is seen when it is read. `changed` must not ask the probe.
        """
        ...
