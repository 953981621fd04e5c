"""How long something takes, counted in buckets: small, bounded, and good enough for quantiles."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

#: Upper ends in milliseconds; what takes longer is in one bucket more.
BOUNDS_MS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0)


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts`: one for each of `BOUNDS_MS`, and one for what took longer."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS_MS) + 1)
    sum_ms: float = 0.0
    worst_ms: float = 0.0

    def with_one(self, took_ms: float) -> Histogram:
        counts = list(self.counts)
        counts[bisect_left(BOUNDS_MS, took_ms)] += 1
        return Histogram(tuple(counts), self.sum_ms + took_ms, max(self.worst_ms, took_ms))

    @property
    def count(self) -> int:
        return sum(self.counts)

    def within_ms(self, part: float) -> float:
        """The bound that this part (0..1) of all kept, never more than the worst; 0 where there is none yet."""
        most, seen = part * self.count, 0
        for bound_ms, count in zip(BOUNDS_MS, self.counts, strict=False):
            seen += count
            if seen >= most:
                return min(bound_ms, self.worst_ms)
        return self.worst_ms
