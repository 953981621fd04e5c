"""Lists of CPUs as people and kernels write them: "0-3,8"."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import pairwise

MOST = 4095
FORM = f"numbers and ranges of CPUs from 0 to {MOST:,}, such as 0-3,8"


def parse_cpus(text: str) -> tuple[int, ...]:
    """The CPUs of a list, each once, in order; none for an empty text. Raises ValueError, in words."""
    cpus: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = (number.strip() for number in part.partition("-"))
        if not _number(first) or (dash and not _number(last)):
            raise ValueError(f"{part!r} is none of these: {FORM}")
        low, high = int(first), int(last or first)
        if high > MOST or low > high:
            raise ValueError(f"{part!r} is none of these: {FORM}")
        cpus.update(range(low, high + 1))
    return tuple(sorted(cpus))


def format_cpus(cpus: Collection[int]) -> str:
    """The shortest list of these CPUs."""
    return ",".join(f"{low}-{high}" if low < high else str(low) for low, high in _ranges(sorted(set(cpus))))


def _ranges(cpus: list[int]) -> Iterator[tuple[int, int]]:
    starts = [cpu for before, cpu in pairwise([-2, *cpus]) if cpu != before + 1]
    ends = [cpu for cpu, after in pairwise([*cpus, MOST + 2]) if after != cpu + 1]
    yield from zip(starts, ends, strict=True)


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(MOST))
