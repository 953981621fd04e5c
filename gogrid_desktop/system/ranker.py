"""The worker's own rank and CPUs together, as its `Applied` reports them."""

from __future__ import annotations

from dataclasses import replace

from gogrid_desktop.core.profiles import Limits
from gogrid_desktop.core.rank import Rank
from gogrid_desktop.system.affinity import Affinity
from gogrid_desktop.system.priority import Priority


class SystemRanker:
    """Fulfils the worker's `Ranker`. `cpus`: run on these alone, from now on; none: on all."""

    def __init__(self, priority: Priority, affinity: Affinity, cpus: tuple[int, ...] = ()) -> None:
        self._priority = priority
        self._affinity = affinity
        self._refused = affinity.bind(cpus) if cpus else ""

    def hold(self, limits: Limits) -> Rank:
        rank = self._priority.hold(limits)
        refused = (*rank.refused, self._refused) if self._refused else rank.refused
        return replace(rank, cpus=self._affinity.usable(), refused=refused)
