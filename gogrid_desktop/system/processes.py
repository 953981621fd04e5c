"""Which processes are our own workers', and what the others are called.

Asked of those alone that are on a GPU, by walking up from each to its parents: listing all children of a worker would
read every process of the machine, four times a second. A pid is known by its start time, as it may be given anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

#: A driver names a process for some time after it ended.
REMEMBERED_S = 10.0


@dataclass(frozen=True, slots=True)
class _Process:
    """`started`: seconds since the epoch; `ancestors`: as they were when it was first seen, dead ones included."""

    started: float
    name: str
    ancestors: frozenset[int]


class Processes:
    """`clock`: monotonic, seconds. Not thread-safe; nothing here raises."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[int, _Process] = {}
        self._ours: dict[int, tuple[float | None, float]] = {}  # when it started, and when it was ours for certain

    def ours(self, roots: Iterable[int], seen: Iterable[int]) -> frozenset[int]:
        """`roots`: pids of our workers. Those, what they started of `seen`, and what was ours within `REMEMBERED_S`."""
        now, running, listed = self._clock(), frozenset(roots), set(seen)
        found = {pid: self._look(pid) for pid in {*running, *listed, *self._ours}}
        for pid, process in found.items():
            if pid in running or (process is not None and process.ancestors & running):
                self._ours[pid] = (None if process is None else process.started, now)
        for pid, (started, at) in tuple(self._ours.items()):
            process = found[pid]
            another = process is not None and process.started != started
            if another or now - at >= REMEMBERED_S:
                del self._ours[pid]
        self._known = {pid: process for pid, process in found.items() if process is not None}
        return running | frozenset(self._ours)

    def names(self, pids: Iterable[int]) -> dict[int, str]:
        """The executable of each; "" where it has ended or is not for us to see."""
        found = {pid: self._look(pid) for pid in pids}
        return {pid: "" if process is None else process.name for pid, process in found.items()}

    def _look(self, pid: int) -> _Process | None:
        """None where there is no such process, or the system says nothing of it."""
        try:
            process = psutil.Process(pid)
            started = process.create_time()
            known = self._known.get(pid)
            if known is None or known.started != started:
                ancestors = frozenset(parent.pid for parent in process.parents())
                known = self._known[pid] = _Process(started, _name(process), ancestors)
            return known
        except (psutil.Error, OSError, ValueError):  # ValueError: no system has such a pid
            return None


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.AccessDenied:
        return ""
