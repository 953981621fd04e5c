"""Holding to the limits: how often a step may run, how often a job may start, and how the system ranks this process."""

from __future__ import annotations

import math
from typing import Protocol

import psutil

from gogrid_desktop.core.profiles import NOTHING, Limits
from gogrid_desktop.core.rank import Rank

#: Rest beyond what was owed is kept up to here, for the next ones: a sleep that ends late costs no share, and a long
#: pause earns no burst.
MOST_AHEAD_S = 0.02


class Ranker(Protocol):
    """What ranks this process. The worker's entry point chooses it, as it alone may ask what system this is."""

    def hold(self, limits: Limits) -> Rank:
        """Rank all threads of this process as the limits say; returns what holds. Never raises."""
        ...


class Pace:
    """When the next step and the next start of a job may be, on the clock that the caller reads.

    Work of d seconds owes a rest of d * (1 / compute_share - 1); what lies between two works is rest, whatever it was
    for. The account is kept over all of them, so that the share holds in the mean however long a step or a sleep was.
    New limits count at once, also for the rest that is on.
    """

    def __init__(self) -> None:
        self.limits: Limits = NOTHING
        self._ended_s = -math.inf
        self._unrested_s = 0.0  # work that was not rested for; negative: rested for in advance
        self._last_start_s = -math.inf

    @property
    def stopped(self) -> bool:
        """Whether the limits allow no step at all."""
        return self.limits.compute_share <= 0 or self.limits.batch < 1

    @property
    def next_step_s(self) -> float:
        if self.stopped:
            return math.inf
        return self._ended_s + max(0.0, self._unrested_s) * self._rest_per_work

    @property
    def next_start_s(self) -> float:
        return self._last_start_s + self.limits.interval_ms / 1000

    def worked(self, began_s: float, ended_s: float) -> None:
        """Count this time as work: a step, or what was done between two steps."""
        if self._ended_s > -math.inf:
            self._rested(max(0.0, began_s - self._ended_s))
        self._unrested_s += max(0.0, ended_s - max(began_s, self._ended_s))
        self._ended_s = ended_s

    def stepped(self, began_s: float, ended_s: float) -> None:
        """A step ran from `began_s` to `ended_s`."""
        self.worked(began_s, ended_s)

    def started(self, now_s: float) -> None:
        """A job was started."""
        self._last_start_s = now_s

    @property
    def _rest_per_work(self) -> float:
        return 1 / self.limits.compute_share - 1

    def _rested(self, rest_s: float) -> None:
        if self.limits.compute_share <= 0:
            return  # no rest is enough; the work is owed for under the limits that come after
        rest_per_work = self._rest_per_work
        if rest_per_work <= 0:
            self._unrested_s = min(self._unrested_s, 0.0)
            return
        self._unrested_s = max(-MOST_AHEAD_S / rest_per_work, self._unrested_s - rest_s / rest_per_work)


def usable_cores() -> int:
    """Physical cores that this process may run on."""
    logical = psutil.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or logical
    affinity = getattr(psutil.Process(), "cpu_affinity", None)  # macOS has none
    return max(1, min(physical, len(affinity()) if affinity is not None else logical))
