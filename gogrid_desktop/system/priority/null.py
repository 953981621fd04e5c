"""Where nothing is known about ranking a process."""

from __future__ import annotations

from gogrid_desktop.core.profiles import Limits
from gogrid_desktop.core.rank import Rank


class NoPriority:
    name = "none"

    def hold(self, limits: Limits) -> Rank:
        return Rank(refused=("This system has no way of ranking a process that we know of.",))
