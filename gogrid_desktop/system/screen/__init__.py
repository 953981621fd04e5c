"""What fills the screen: a film, a game, a presentation. One file per source; each says "unknown" rather than guess."""

from __future__ import annotations

from typing import Protocol

from gogrid_desktop.core.screen import Screen


class ScreenProbe(Protocol):
    """`name` is what `gogrid doctor` shows."""

    name: str

    def read(self) -> Screen:
        """Never raises, never blocks for long; `Screen(None)` when nothing is known."""
        ...

    def front(self) -> str:
        """The executable of the window that has the keyboard, "" where nobody can tell. Never raises."""
        ...
