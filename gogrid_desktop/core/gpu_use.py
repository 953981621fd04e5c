"""What others use of a GPU: all of it, less what is our own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

#: What was seen so long ago says nothing of now.
STALE_S = 5.0


@dataclass(frozen=True, slots=True)
class GpuUse:
    """One GPU at one moment. None: unknown.

    `foreign_low` and `foreign_high`: the least and the most of the last two fresh samples of what other processes use
    of its time, 0..1, so that one sample alone neither trips a rule nor lifts it. `foreign_bytes`: what they hold of
    its memory, `free_bytes` of `total_bytes` being free. `slowdown_c`: where the card slows itself down. `screen`: it
    drives a display. `program`: who uses most of it, by its executable; empty where nobody does or nobody tells.
    """

    index: int
    total_bytes: int
    free_bytes: int
    foreign_low: float | None = None
    foreign_high: float | None = None
    foreign_bytes: int | None = None
    temperature_c: float | None = None
    slowdown_c: float | None = None
    screen: bool | None = None
    program: str = ""


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """A process on a GPU; `utilisation`: of its time, 0..1. None: not told."""

    pid: int
    used_bytes: int | None
    utilisation: float | None


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One GPU as it was read. None: not told.

    `sampled_at` (monotonic, seconds): when the use by processes was found; the same again is no fresh sample.
    `utilisation`: of its time by all together. `processes`: all that are on it; one pid may stand there repeatedly.
    """

    index: int
    total_bytes: int
    free_bytes: int
    used_bytes: int
    sampled_at: float
    utilisation: float | None = None
    processes: tuple[ProcessSample, ...] | None = None
    temperature_c: float | None = None
    slowdown_c: float | None = None
    screen: bool | None = None


def foreign_share(sample: GpuSample, ours: Set[int]) -> float | None:
    """How much of a GPU's time others use, 0..1.

    Where the use by processes is not told, all of it is theirs as long as none of ours is on this GPU, and unknown
    otherwise. `ours`: pids that may be on it.
    """
    if sample.processes is None:
        return None if ours else _clamped(sample.utilisation)
    most = _most(sample.processes, ours)
    if None in most.values():
        return None if any(one.pid in ours for one in sample.processes) else _clamped(sample.utilisation)
    return _clamped(sum(share for share in most.values() if share is not None))


def foreign_bytes(sample: GpuSample, ours: Set[int]) -> int | None:
    """How much of a GPU's memory others hold: by process where that is told, otherwise all but what we hold."""
    if sample.processes is None:
        return None if ours else sample.used_bytes
    held: dict[int, int | None] = {}
    for one in sample.processes:
        known = held.get(one.pid, 0)
        held[one.pid] = None if known is None or one.used_bytes is None else max(known, one.used_bytes)
    theirs = [size for pid, size in held.items() if pid not in ours]
    if None not in theirs:
        return sum(size for size in theirs if size is not None)
    own = [size for pid, size in held.items() if pid in ours]
    return None if None in own else max(0, sample.used_bytes - sum(size for size in own if size is not None))


def greatest_user(sample: GpuSample, ours: Set[int]) -> int | None:
    """The pid of who else uses most of a GPU's time; None where nobody does or nobody tells."""
    most = _most(sample.processes or (), ours)
    using = [(share, -pid) for pid, share in most.items() if share is not None and share > 0]
    return -max(using)[1] if using else None


class GpuUses:
    """Takes readings of all GPUs, one after the other, and remembers the last two fresh samples of each."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[tuple[float, float | None], ...]] = {}

    def take(self, samples: Iterable[GpuSample], ours: Set[int], names: Mapping[int, str]) -> tuple[GpuUse, ...]:
        """`ours`: pids of our workers and of what they started, those that just ended too. `names`: pids' programs."""
        seen, uses = self._seen, []
        self._seen = {}
        for sample in samples:
            shares = _with(seen.get(sample.index, ()), sample, foreign_share(sample, ours))
            self._seen[sample.index] = shares
            known = [share for _, share in shares if share is not None]
            user = greatest_user(sample, ours)
            uses.append(
                GpuUse(
                    index=sample.index,
                    total_bytes=sample.total_bytes,
                    free_bytes=sample.free_bytes,
                    foreign_low=min(known, default=None),
                    foreign_high=max(known, default=None),
                    foreign_bytes=foreign_bytes(sample, ours),
                    temperature_c=sample.temperature_c,
                    slowdown_c=sample.slowdown_c,
                    screen=sample.screen,
                    program="" if user is None else names.get(user, ""),
                )
            )
        return tuple(uses)


def _with(
    seen: tuple[tuple[float, float | None], ...], sample: GpuSample, share: float | None
) -> tuple[tuple[float, float | None], ...]:
    """The last two fresh samples. The same sample judged anew, as who is ours may have changed, takes its own place."""
    before = [one for one in seen if one[0] != sample.sampled_at and sample.sampled_at - one[0] <= STALE_S]
    return (*before, (sample.sampled_at, share))[-2:]


def _most(processes: Iterable[ProcessSample], ours: Set[int]) -> dict[int, float | None]:
    """The largest share of each other process; None as soon as one is not told."""
    most: dict[int, float | None] = {}
    for one in processes:
        if one.pid not in ours:
            known = most.get(one.pid, 0.0)
            most[one.pid] = None if known is None or one.utilisation is None else max(known, one.utilisation)
    return most


def _clamped(share: float | None) -> float | None:
    return None if share is None else min(1.0, max(0.0, share))
