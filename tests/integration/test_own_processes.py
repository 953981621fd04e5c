"""Which processes are ours, with real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import psutil
import pytest

from gogrid_desktop.system.processes import REMEMBERED_S, Processes

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
input()
child.kill()
"""
NOBODY = 2**22 + 9  # above the largest pid of any system


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start() -> Iterator[Callable[[], tuple[subprocess.Popen[str], int]]]:
    """A worker and the process that it started."""
    with ExitStack() as all_of_them:

        def started() -> tuple[subprocess.Popen[str], int]:
            pipe = subprocess.PIPE
            parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=pipe, stdout=pipe, text=True)
            all_of_them.enter_context(parent)
            all_of_them.callback(parent.kill)
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            all_of_them.callback(end, child)
            return parent, child

        yield started


def end(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).kill()


def test_a_worker_and_what_it_started_are_ours_and_nobody_else(
    clock: Clock, start: Callable[[], tuple[subprocess.Popen[str], int]]
) -> None:
    (ours, child), (other, others_child) = start(), start()
    found = Processes(clock).ours([ours.pid], [ours.pid, child, other.pid, others_child, os.getpid(), NOBODY])
    assert found == {ours.pid, child}


def test_a_worker_is_ours_before_it_is_seen_on_any_gpu(clock: Clock) -> None:
    assert Processes(clock).ours([NOBODY], []) == {NOBODY}


def test_what_ended_is_ours_for_some_time_yet(
    clock: Clock, start: Callable[[], tuple[subprocess.Popen[str], int]]
) -> None:
    worker, child = start()
    processes = Processes(clock)
    assert processes.ours([worker.pid], [worker.pid, child]) == {worker.pid, child}
    worker.kill()
    worker.wait()
    clock.now += REMEMBERED_S - 0.1
    assert processes.ours([], [worker.pid, child]) == {worker.pid, child}
    clock.now += 0.2
    assert processes.ours([], [worker.pid, child]) == set()


def test_a_process_that_outlives_its_parents_parent_stays_ours_as_long_as_that_was_ours(
    clock: Clock, start: Callable[[], tuple[subprocess.Popen[str], int]]
) -> None:
    worker, child = start()
    processes = Processes(clock)
    processes.ours([worker.pid], [child])
    worker.kill()
    worker.wait()
    clock.now += 60
    assert processes.ours([worker.pid], [child]) == {worker.pid, child}  # its pid is still named as a root


def test_names_are_executables_and_empty_for_what_is_not_there(clock: Clock) -> None:
    processes = Processes(clock)
    assert processes.names([os.getpid(), NOBODY]) == {os.getpid(): psutil.Process().name(), NOBODY: ""}
