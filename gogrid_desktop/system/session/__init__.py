"""Whose session the screen shows, and the system's sleep. One file per source; unknown is said, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gogrid_desktop.core.session import Session


class SessionProbe(Protocol):
    """`name` is what `gogrid doctor` shows."""

    name: str

    def read(self) -> Session:
        """Never raises, never blocks for long; `Session()` when nothing is known."""
        ...

    def watch(self, changed: Callable[[], None]) -> None:
        """Have `changed` called, from any thread, whenever `read` may say something else. It must not ask the probe."""
        ...

    def delay_sleep(self) -> bool:
        """Have the system wait some seconds for us before it sleeps or shuts down; False: it will not.

        To be called again and again while there is work, also after a sleep.
        """
        ...

    def let_sleep(self) -> None:
        """It need not wait (any longer)."""
        ...

    def close(self) -> None:
        """End what watches; the system need not wait."""
        ...
