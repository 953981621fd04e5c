"""No worker outlives the process that started it, also where nobody sees the end of its input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from gogrid_desktop.worker.parent import die_with_parent

CHILD = (
    "from gogrid_desktop.worker.parent import die_with_parent; import time; "
    "print(die_with_parent(), flush=True); time.sleep(60)"
)
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline().strip(), flush=True)
child.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux")
def test_a_worker_dies_with_its_parent_though_its_input_stays_open() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, asked = parent.stdout.readline().split()
        assert asked == "True"
        child = psutil.Process(int(pid))
        os.kill(parent.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "it outlived its parent"
            time.sleep(0.02)


def test_where_the_system_has_no_such_thing_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        """A C library without prctl."""

    monkeypatch.setattr("ctypes.CDLL", lambda name: Library())
    assert not die_with_parent()
