"""The rank of a macOS process: nice, the background state and the disk I/O policy.

Sources: setpriority(2) with PRIO_DARWIN_PROCESS and PRIO_DARWIN_BG, which a process may set for itself alone;
setiopolicy_np(3); sys/resource.h. The background state is what taskpolicy(8) -b gives: lowest scheduling priority,
efficiency cores, throttled disk. It may be left again; a nice value may not be lowered by an ordinary user. Tested with
faked calls; not run on real hardware.
"""

from __future__ import annotations

import ctypes
from typing import Any

from gogrid_desktop.core.profiles import Limits
from gogrid_desktop.core.rank import BACKGROUND_NICE, DiskStep, Rank, disk_step_of, nice_stays

LIBRARY = "/usr/lib/libSystem.B.dylib"
PRIO_PROCESS, PRIO_DARWIN_PROCESS, PRIO_DARWIN_BG = 0, 4, 0x1000
IOPOL_TYPE_DISK, IOPOL_SCOPE_PROCESS = 0, 0
#: IOPOL_IMPORTANT, IOPOL_UTILITY, IOPOL_THROTTLE.
IO_POLICIES = {DiskStep.NORMAL: 1, DiskStep.LOW: 4, DiskStep.VERY_LOW: 3}
#: What is read back where nobody set one: IOPOL_DEFAULT, IOPOL_STANDARD.
_OTHER_POLICIES = {0: "default", 5: "standard"}


class MacPriority:
    """`libc`: the C library, loaded by ctypes."""

    name = "macos"

    def __init__(self, libc: Any) -> None:
        self._libc = libc
        self._born = int(libc.getpriority(PRIO_PROCESS, 0))  # a new process would begin there too

    def hold(self, limits: Limits) -> Rank:
        refused: list[str] = []
        self._libc.setpriority(PRIO_PROCESS, 0, limits.nice)
        nice = int(self._libc.getpriority(PRIO_PROCESS, 0))
        restart = nice > max(limits.nice, self._born)
        if nice > limits.nice:
            refused.append(nice_stays(nice, limits.nice, restart=restart))
        background = limits.nice >= BACKGROUND_NICE
        if self._libc.setpriority(PRIO_DARWIN_PROCESS, 0, PRIO_DARWIN_BG if background else 0):
            refused.append("macOS refuses the background state.")
        return Rank(
            nice=nice,
            background=bool(self._libc.getpriority(PRIO_DARWIN_PROCESS, 0)),
            io_priority=self._disk(disk_step_of(limits), refused),
            refused=tuple(refused),
            needs_restart=restart,
        )

    def _disk(self, step: DiskStep, refused: list[str]) -> str:
        if self._libc.setiopolicy_np(IOPOL_TYPE_DISK, IOPOL_SCOPE_PROCESS, IO_POLICIES[step]):
            refused.append(f"macOS refuses the disk policy {step.value}.")
        held = int(self._libc.getiopolicy_np(IOPOL_TYPE_DISK, IOPOL_SCOPE_PROCESS))
        known = {number: each.value for each, number in IO_POLICIES.items()} | _OTHER_POLICIES
        return known.get(held, "")


def load() -> Any:
    return ctypes.CDLL(LIBRARY)
