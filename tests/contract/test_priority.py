"""Stepping back: as set, as read back, and as far as an ordinary user may."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from gogrid_desktop.system import host
from gogrid_desktop.system.priority import Priority

linux = pytest.mark.skipif(sys.platform != "linux", reason="disk priority is Linux's")
NOBODY = 65534
#: Our own code, become an ordinary user after its imports: the interpreter may lie where he cannot read.
ORDINARY = """
import os, sys
from gogrid_desktop.system import host
from gogrid_desktop.system.priority import Priority
priority = host.process_priority()
os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
for nice in (10, 0, 15):
    print(priority.set(os.getpid(), Priority(nice, 3)).nice)
print(priority.set(os.getppid(), Priority(19)).nice)
"""


@pytest.fixture
def child() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate(b"\n")


@linux
@pytest.mark.parametrize(
    "wanted",
    [Priority(5, 2, 6), Priority(10, 3), Priority(15, 3), Priority(19, 2, 0)],
)
def test_what_is_set_is_what_is_read_back(child: int, wanted: Priority) -> None:
    priority = host.process_priority()
    assert priority.set(child, wanted) == wanted
    assert priority.read(child) == wanted


@linux
def test_a_level_is_left_out_where_the_class_has_none(child: int) -> None:
    assert host.process_priority().set(child, Priority(3, 3, 5)) == Priority(3, 3, None)


@linux
def test_no_disk_priority_asked_for_leaves_it_as_it_was(child: int) -> None:
    before = host.process_priority().read(child)
    after = host.process_priority().set(child, Priority(7))
    assert (after.ionice_class, after.ionice_level) == (before.ionice_class, before.ionice_level)


def test_what_is_not_allowed_comes_back_as_it_was(child: int, monkeypatch: pytest.MonkeyPatch) -> None:
    priority = host.process_priority()
    priority.set(child, Priority(12))
    real = psutil.Process.nice

    def refuse(self: psutil.Process, value: int | None = None) -> int | None:
        if value is not None:
            raise psutil.AccessDenied(self.pid)
        return real(self)

    monkeypatch.setattr(psutil.Process, "nice", refuse)
    assert priority.set(child, Priority(0)).nice == 12


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="only root can become an ordinary user")
def test_an_ordinary_user_steps_back_and_cannot_come_forward_again() -> None:
    ours = os.nice(0)
    asked = subprocess.run([sys.executable, "-c", ORDINARY, str(NOBODY)], capture_output=True, text=True)
    # Someone else's process, this one, stays as it was.
    assert asked.stdout.split() == ["10", "10", "15", str(ours)], asked.stderr


def test_a_process_that_has_ended_is_no_silent_success() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(psutil.NoSuchProcess):
        host.process_priority().set(process.pid, Priority(10))
