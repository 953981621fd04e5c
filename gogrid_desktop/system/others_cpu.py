"""How much of the CPU others use: the machine's busy time without what this process and its children used.

Source: proc_stat(5), proc_pid_stat(5) through psutil; and proc_tid_children(5), without which all processes of the
machine are read to find ours. What a child used until its end shows on Linux in its parent's time of children that
were waited for. Where that is not told (elsewhere, or for a child that another process waited for), the interval in
which it ended cannot be split, and the share stays what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_BUSY = ("user", "nice", "system", "irq", "softirq")
_REST = ("idle", "iowait", "steal")
#: Times are counted in hundredths of a second, of each CPU and each process.
_TICK_S = 0.02


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds of a process: its own, and of the children that it waited for."""

    own_s: float
    waited_for_s: float = 0.0

    @property
    def all_s(self) -> float:
        return self.own_s + self.waited_for_s


@dataclass(frozen=True, slots=True)
class CpuReading:
    """CPU seconds since the machine started, of all CPUs together. `ours`: by (pid, when it was started)."""

    busy_s: float
    total_s: float
    ours: Mapping[tuple[int, float], Used]


def read_cpu() -> CpuReading:
    """The machine's times and those of this process and all below it."""
    ours = {}
    for process in our_processes():
        try:
            times = process.cpu_times()
            used = Used(times.user + times.system, times.children_user + times.children_system)
            ours[process.pid, process.create_time()] = used
        except psutil.Error:  # ended meanwhile
            continue
    machine = psutil.cpu_times()
    busy_s = sum(getattr(machine, name, 0.0) for name in _BUSY)
    return CpuReading(busy_s, busy_s + sum(getattr(machine, name, 0.0) for name in _REST), ours)


def our_processes(proc: Path = Path("/proc")) -> Iterator[psutil.Process]:
    """This process and all below it."""
    us = psutil.Process()
    yield us
    if not (proc / f"self/task/{us.pid}/children").exists():
        yield from us.children(recursive=True)
        return
    below = _children(proc, us.pid)
    while below:
        pid = below.pop()
        below += _children(proc, pid)
        with suppress(psutil.Error):  # ended meanwhile
            yield psutil.Process(pid)


def _children(proc: Path, pid: int) -> list[int]:
    """A process is the child of the thread that started it."""
    try:
        return [
            int(each) for task in (proc / f"{pid}/task").iterdir() for each in (task / "children").read_text().split()
        ]
    except OSError:  # ended meanwhile
        return []


class OthersCpu:
    def __init__(self, read: Callable[[], CpuReading] = read_cpu) -> None:
        self._read = read
        self._before: CpuReading | None = None
        self._share: float | None = None

    def share(self) -> float | None:
        """Of the whole machine, 0..1, since the last call; None at the first one."""
        now, before = self._read(), self._before
        self._before = now
        if before is not None and (ours_s := _ours_s(before, now)) is not None and now.total_s > before.total_s:
            others_s = now.busy_s - before.busy_s - ours_s
            self._share = min(max(others_s / (now.total_s - before.total_s), 0.0), 1.0)
        return self._share


def _ours_s(before: CpuReading, now: CpuReading) -> float | None:
    """What we used between two readings; None where one of us ended and nobody tells what it used."""
    ended_s = sum(used.all_s for key, used in before.ours.items() if key not in now.ours)
    nothing = Used(0.0)
    earlier = {key: before.ours.get(key, nothing) for key in now.ours}
    waited_for_s = sum(used.waited_for_s - earlier[key].waited_for_s for key, used in now.ours.items())
    if waited_for_s < ended_s - _TICK_S * len(before.ours):
        return None
    return sum(used.all_s - earlier[key].all_s for key, used in now.ours.items()) - ended_s
