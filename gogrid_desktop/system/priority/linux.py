"""The rank of a Linux process: nice and ionice of each thread, and the two things that rank it as a whole.

Linux ranks single threads (setpriority(2), ioprio_set(2)); a new one inherits from the thread that makes it. An
ordinary user may not lower a nice value again, but a nice value counts only within a scheduling group. So where the
process is alone in a cgroup that is the user's, or alone in its session with autogroups in effect (sched(7)), that
group is ranked too: it goes both ways, and is then what the desktop feels. Where there is neither, only a new process
ranks higher.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from gogrid_desktop.core.profiles import Limits
from gogrid_desktop.core.rank import LEVELLED, Rank, nice_stays
from gogrid_desktop.system.priority.groups import Group, Held, find_groups

#: Threads may be born while the others are ranked: they inherit, so that it settles at once.
_ROUNDS = 5
#: By how strong a class is: the strongest that a thread holds is what the desktop feels.
_STRENGTH = {1: 3, 2: 2, 0: 1, 3: 0}
_AGAIN_S = 0.15
_os: Any = os  # setpriority is not on every platform that the types are checked for


def _in_a_thread(seconds: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()


class LinuxPriority:
    """`proc`: this process there. `groups`: finds what ranks it as a whole. `later`: calls after so many seconds."""

    name = "linux"

    def __init__(
        self,
        proc: Path = Path("/proc/self"),
        groups: Callable[[], list[Group]] = find_groups,
        later: Callable[[float, Callable[[], None]], None] = _in_a_thread,
    ) -> None:
        self._tasks = proc / "task"
        self._groups = groups
        self._later = later
        self._wanted = 0
        self._born = self._worst_nice()  # a new process would begin there too

    def hold(self, limits: Limits) -> Rank:
        self._wanted = limits.nice
        io_class, io_level, refused = self._io(limits)
        nice = self._nice(limits.nice)  # from here on, this very code may be the one that waits
        weight, autogroup, ranked, group_refused = self._rank_groups(limits.nice)
        refused += group_refused
        stuck = nice > limits.nice and not ranked
        restart = stuck and nice > self._born
        if stuck:
            refused.append(nice_stays(nice, limits.nice, restart=restart))
        return Rank(
            nice=nice,
            io_class=io_class,
            io_level=io_level,
            cpu_weight=weight,
            autogroup_nice=autogroup,
            refused=tuple(refused),
            needs_restart=restart,
        )

    def _rank_groups(self, nice: int) -> tuple[int | None, int | None, bool, list[str]]:
        """(weight, autogroup's nice, whether one of them holds or soon will, what was refused)."""
        weight = autogroup = None
        ranked = False
        refused: list[str] = []
        for group in self._groups():
            value, held = group.hold(nice)
            ranked = ranked or held is not Held.REFUSED
            weight, autogroup = (value, autogroup) if group.weighs else (weight, value)
            if held is Held.REFUSED:
                refused.append(f"{group.path} cannot be written.")
            elif held is Held.NOT_YET:
                refused.append(f"{group.path} cannot be written this moment; it is tried again.")
                self._later(_AGAIN_S, self._again)
        return weight, autogroup, ranked, refused

    def _again(self) -> None:
        self._rank_groups(self._wanted)

    def _threads(self) -> list[int]:
        return [int(entry.name) for entry in self._tasks.iterdir()]

    def _worst_nice(self) -> int:
        return max(int(_os.getpriority(_os.PRIO_PROCESS, thread)) for thread in self._threads())

    def _nice(self, nice: int) -> int:
        """Set it on every thread; returns the worst that holds."""
        held: dict[int, int] = {}
        for _ in range(_ROUNDS):
            changed = False
            held = {}
            for thread in self._threads():
                try:
                    before = int(_os.getpriority(_os.PRIO_PROCESS, thread))
                    held[thread] = before
                    if before != nice:
                        _os.setpriority(_os.PRIO_PROCESS, thread, nice)
                        held[thread], changed = nice, True
                except PermissionError:
                    continue  # it may not come forward again: `held` says where it is
                except ProcessLookupError:
                    held.pop(thread, None)
            if not changed:
                break
        return max(held.values())

    def _io(self, limits: Limits) -> tuple[int, int, list[str]]:
        """Set it on every thread; returns the strongest class and level that hold, and what was refused."""
        level = limits.ionice_level if limits.ionice_class in LEVELLED else None
        refused: list[str] = []
        held: set[tuple[int, int]] = set()
        for thread in self._threads():
            try:
                process: Any = psutil.Process(thread)
                try:
                    process.ionice(limits.ionice_class, level)
                except psutil.AccessDenied:
                    refused = [f"ionice class {limits.ionice_class} is for the administrator."]
                now = process.ionice()
                held.add((int(now.ioclass), int(now.value)))
            except psutil.NoSuchProcess:
                continue
        io_class, io_level = max(held, key=lambda pair: (_STRENGTH[pair[0]], -pair[1]))
        return io_class, io_level, refused
