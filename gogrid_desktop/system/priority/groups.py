"""What ranks a Linux process as a whole, where that is its own to set: a delegated cgroup, or a session's autogroup.

A cgroup counts only when this process is alone in it: its weight is also that of everything else there. Sources: kernel
documentation admin-guide/cgroup-v2.rst (delegation, `cpu.weight`); sched(7), "The autogroup feature".
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from gogrid_desktop.core.rank import weight_of

_os: Any = os  # getsid is not on every platform that the types are checked for


class Held(Enum):
    """What came of writing a rank."""

    WRITTEN = "written"
    NOT_YET = "not yet"  # the kernel takes a new autogroup value from ordinary users every 0.1 s, all of them together
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Group:
    """The file that ranks it. `weighs`: it takes a weight, otherwise a nice value."""

    path: Path
    weighs: bool

    def hold(self, nice: int) -> tuple[int | None, Held]:
        """Write it; returns what is read back, None where it cannot be read."""
        value = weight_of(nice) if self.weighs else nice
        try:
            if self._read() != value:
                self.path.write_text(str(value))
            return self._read(), Held.WRITTEN
        except BlockingIOError:
            return self._read(), Held.NOT_YET
        except OSError:
            return None, Held.REFUSED

    def _read(self) -> int:
        text = self.path.read_text().strip()
        return int(text.rpartition(" ")[2])  # "100", or "/autogroup-25 nice 0"


def find_groups(
    proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup"), pid: int | None = None
) -> list[Group]:
    """Those that are this process's own; usually at most one."""
    pid = os.getpid() if pid is None else pid
    try:
        memberships = (proc / str(pid) / "cgroup").read_text()
    except OSError:
        return []
    own = _own_cgroup(memberships, cgroups, pid)
    if own is not None:
        return [Group(own / "cpu.weight", weighs=True)]
    autogroup = proc / str(pid) / "autogroup"
    in_effect = _is_on(proc / "sys/kernel/sched_autogroup_enabled") and _in_root_group(memberships, cgroups)
    if in_effect and autogroup.exists() and _os.getsid(pid) == pid:
        return [Group(autogroup, weighs=False)]
    return []


def _unified(memberships: str) -> str | None:
    """The path of the cgroup of version 2, from /proc/PID/cgroup."""
    found = re.search(r"^0::(/.*)$", memberships, re.MULTILINE)
    return found[1] if found else None


def _own_cgroup(memberships: str, cgroups: Path, pid: int) -> Path | None:
    path = _unified(memberships)
    if path in (None, "/"):
        return None
    folder = cgroups / str(path).lstrip("/")
    try:
        alone = (folder / "cgroup.procs").read_text().split() == [str(pid)]
    except OSError:
        return None
    return folder if alone and os.access(folder / "cpu.weight", os.W_OK) else None


def _in_root_group(memberships: str, cgroups: Path) -> bool:
    """Whether no cgroup ranks this process: autogroups are made inside the root group alone."""
    older = re.search(r"^\d+:(?:[^:]*,)?cpu(?:,[^:]*)?:(/.*)$", memberships, re.MULTILINE)
    if older is not None:
        return older[1] == "/"
    path = Path(str(_unified(memberships) or "/").lstrip("/"))
    return not any((cgroups / part / "cpu.weight").exists() for part in (path, *path.parents))


def _is_on(switch: Path) -> bool:
    try:
        return switch.read_text().strip() == "1"
    except OSError:
        return False
