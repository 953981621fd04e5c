"""How the system ranks this process for processor, disk and GPU. One file per system; each reads back what holds."""

from __future__ import annotations

from typing import Protocol

from gogrid_desktop.core.profiles import Limits
from gogrid_desktop.core.rank import Rank


class Priority(Protocol):
    name: str

    def hold(self, limits: Limits) -> Rank:
        """Rank this process, all its threads, as the limits say; returns what holds. Never raises."""
        ...
