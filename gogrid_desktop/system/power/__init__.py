"""Where the computer's power comes from. One file per source; each says "unknown" rather than guess."""

from __future__ import annotations

from typing import Protocol

from gogrid_desktop.core.power import Power


class PowerProbe(Protocol):
    """`name` is what `gogrid doctor` shows."""

    name: str

    def read(self) -> Power:
        """Never raises; `Power(None)` when nothing is known. `falling` is left to whoever reads it again and again."""
        ...
