"""How much to give: the limits, their order, and the named points of it.

Limits form a lattice. `meet` takes the gentler value of every field, so that any number of rules can only lower what is
given. Source of the figures: row A1 of the feature table in the README.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Profile(IntEnum):
    """Named points of the lattice, gentlest first."""

    PAUSED = 0
    CONSERVATIVE = 1
    BALANCED = 2
    AGGRESSIVE = 3

    @property
    def word(self) -> str:
        return self.name.lower()


#: ionice class by strength: 1 real-time, 2 best effort, 0 none (treated as best effort by the kernel), 3 idle.
_IO_STRENGTH = {1: 3, 2: 2, 0: 1, 3: 0}


@dataclass(frozen=True, slots=True)
class Limits:
    """What the worker may take.

    `compute_share` and `vram_fraction` are fractions 0..1; `batch` sequences decoded together; `nice` 0..19;
    `ionice_class` 0..3 as in ionice(1); `ionice_level` 0..7, only for classes 1 and 2; `interval_ms` is the least time
    between two request starts.
    """

    compute_share: float
    vram_fraction: float
    batch: int
    nice: int
    ionice_class: int
    ionice_level: int | None
    interval_ms: int

    def meet(self, other: Limits) -> Limits:
        """The gentler value of every field: commutative, associative, idempotent."""
        io = min(self._io, other._io)
        return Limits(
            compute_share=min(self.compute_share, other.compute_share),
            vram_fraction=min(self.vram_fraction, other.vram_fraction),
            batch=min(self.batch, other.batch),
            nice=max(self.nice, other.nice),
            ionice_class=io[2],
            ionice_level=io[3],
            interval_ms=max(self.interval_ms, other.interval_ms),
        )

    def lowers_now(self, other: Limits) -> bool:
        """Whether one of the limits that hold from one step to the next is gentler than in `other`."""
        return (
            self.compute_share < other.compute_share or self.batch < other.batch or self.interval_ms > other.interval_ms
        )

    @property
    def _io(self) -> tuple[int, int, int, int | None]:
        if self.ionice_class not in (1, 2):
            return (_IO_STRENGTH[self.ionice_class], 0, self.ionice_class, None)
        level = 4 if self.ionice_level is None else self.ionice_level  # 4 is what the kernel takes for none
        return (_IO_STRENGTH[self.ionice_class], -level, self.ionice_class, level)


NOTHING = Limits(0.0, 0.0, 0, 19, 3, None, 100)

PROFILE_LIMITS: dict[Profile, Limits] = {
    Profile.PAUSED: NOTHING,
    Profile.CONSERVATIVE: Limits(0.60, 0.50, 2, 15, 3, None, 100),
    Profile.BALANCED: Limits(0.80, 0.70, 4, 10, 3, None, 50),
    Profile.AGGRESSIVE: Limits(0.95, 0.95, 16, 0, 2, 4, 0),
}
