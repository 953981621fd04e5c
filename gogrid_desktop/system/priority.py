"""How much other programs go first: nice and disk priority of a process, set and read back.

An ordinary user can only step back: a process once made nicer stays so until it is started anew. What is in force
afterwards is therefore read from the system and returned, whatever was asked for.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Protocol

import psutil


@dataclass(frozen=True, slots=True)
class Priority:
    """What is in force: `nice` 0..19 (more = weaker), `ionice_class` 0..3 as in ionice(1), `ionice_level` 0..7.

    The disk's are None where the system has none, the level also in the classes without levels (0 and 3).
    """

    nice: int
    ionice_class: int | None = None
    ionice_level: int | None = None


class ProcessPriority(Protocol):
    """The same on every system."""

    def set(self, pid: int, wanted: Priority) -> Priority:
        """Set as far as this user may and return what is in force. Raises psutil.NoSuchProcess."""
        ...

    def read(self, pid: int) -> Priority:
        """What is in force. Raises psutil.NoSuchProcess."""
        ...


class UnixPriority:
    """nice alone."""

    def set(self, pid: int, wanted: Priority) -> Priority:
        with contextlib.suppress(psutil.AccessDenied):
            psutil.Process(pid).nice(wanted.nice)
        return self.read(pid)

    def read(self, pid: int) -> Priority:
        return Priority(psutil.Process(pid).nice())


class LinuxPriority(UnixPriority):
    """nice and the disk's class and level."""

    def set(self, pid: int, wanted: Priority) -> Priority:
        super().set(pid, wanted)
        if wanted.ionice_class is not None:
            level = wanted.ionice_level if wanted.ionice_class in (1, 2) else None
            with contextlib.suppress(psutil.AccessDenied):
                _with_io(pid).ionice(wanted.ionice_class, level)
        return self.read(pid)

    def read(self, pid: int) -> Priority:
        io = _with_io(pid).ionice()
        return Priority(psutil.Process(pid).nice(), int(io.ioclass), io.value if io.ioclass in (1, 2) else None)


def _with_io(pid: int) -> Any:
    # psutil declares ionice only for the platforms that have it, and this file is checked for all.
    return psutil.Process(pid)


#: Priority classes of winbase.h by the nice value that they stand for: normal, below normal, idle.
_WINDOWS_CLASSES = {0: 0x0020, 10: 0x4000, 15: 0x0040}


class WindowsPriority:
    """Three classes in place of nice: normal, below normal from 1, idle from 15. Not run on real hardware."""

    def set(self, pid: int, wanted: Priority) -> Priority:
        stands_for = min(nice for nice in _WINDOWS_CLASSES if nice >= min(wanted.nice, 15))
        psutil.Process(pid).nice(_WINDOWS_CLASSES[stands_for])
        return self.read(pid)

    def read(self, pid: int) -> Priority:
        found = int(psutil.Process(pid).nice())
        return Priority(next((nice for nice, number in _WINDOWS_CLASSES.items() if number == found), 0))
