"""How much of the CPU others use, whatever becomes of our own processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.system.others_cpu import CpuReading, OthersCpu, Used, our_processes, read_cpu

AGENT, WORKER, NEXT = (1, 0.5), (2, 1.5), (3, 2.5)
CPUS = 4


def shares(*readings: CpuReading) -> list[float | None]:
    left = list(readings)
    cpu = OthersCpu(lambda: left.pop(0))
    return [cpu.share() for _ in readings]


def at(wall_s: float, busy_s: float, ours: Mapping[tuple[int, float], Used]) -> CpuReading:
    return CpuReading(1000.0 + busy_s, 5000.0 + wall_s * CPUS, ours)


def test_the_first_call_knows_nothing() -> None:
    assert shares(at(0, 0, {AGENT: Used(1.0)})) == [None]


def test_what_we_use_is_not_others() -> None:
    readings = at(0, 0, {AGENT: Used(1.0), WORKER: Used(50.0)}), at(10, 24, {AGENT: Used(2.0), WORKER: Used(69.0)})
    assert shares(*readings) == [None, pytest.approx(4 / 40)]


def test_a_worker_that_starts_is_ours_from_its_first_second() -> None:
    readings = at(0, 0, {AGENT: Used(1.0)}), at(10, 22, {AGENT: Used(1.0), WORKER: Used(18.0)})
    assert shares(*readings)[1] == pytest.approx(4 / 40)


def test_a_worker_that_ended_is_known_by_who_waited_for_it() -> None:
    before = {AGENT: Used(1.0), WORKER: Used(50.0)}
    after = {AGENT: Used(1.0, waited_for_s=58.0)}  # eight seconds until its end
    assert shares(at(0, 0, before), at(10, 12, after))[1] == pytest.approx(4 / 40)


def test_a_worker_that_came_and_went_between_two_calls_is_ours() -> None:
    assert shares(at(0, 0, {AGENT: Used(1.0)}), at(10, 12, {AGENT: Used(1.0, 8.0)}))[1] == pytest.approx(4 / 40)


def test_where_nobody_tells_what_it_used_the_share_stays_what_it_was() -> None:
    ours = {AGENT: Used(1.0), WORKER: Used(0.0)}
    busy = {AGENT: Used(1.0), WORKER: Used(20.0)}
    gone = {AGENT: Used(1.0)}
    readings = at(0, 0, ours), at(10, 24, busy), at(20, 60, gone), at(30, 62, gone)
    assert shares(*readings) == [None, pytest.approx(0.1), pytest.approx(0.1), pytest.approx(2 / 40)]


def test_one_that_ended_with_nothing_known_before_stays_unknown() -> None:
    assert shares(at(0, 0, {AGENT: Used(1.0), WORKER: Used(9.0)}), at(10, 20, {AGENT: Used(1.0)})) == [None, None]


def test_another_process_with_the_number_of_an_old_one_is_another() -> None:
    again = (WORKER[0], 9.5)
    before = {AGENT: Used(1.0), WORKER: Used(50.0)}
    after = {AGENT: Used(1.0, 50.0), again: Used(10.0)}
    assert shares(at(0, 0, before), at(10, 14, after))[1] == pytest.approx(4 / 40)


def test_a_clock_that_stands_changes_nothing() -> None:
    ours = {AGENT: Used(1.0)}
    assert shares(at(0, 0, ours), at(10, 4, ours), at(10, 4, ours)) == [None, pytest.approx(0.1), pytest.approx(0.1)]


seconds = st.floats(0, 1000)
trees = st.dictionaries(st.sampled_from([AGENT, WORKER, NEXT]), st.builds(Used, seconds, seconds))


@given(st.lists(st.tuples(seconds, seconds, trees), min_size=1))
def test_whatever_is_read_it_is_a_share_or_unknown(
    steps: list[tuple[float, float, dict[tuple[int, float], Used]]],
) -> None:
    for share in shares(*(at(wall_s, busy_s, ours) for wall_s, busy_s, ours in steps)):
        assert share is None or 0 <= share <= 1


def test_the_machine_tells_what_we_and_our_children_use() -> None:
    before = read_cpu()
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    child = subprocess.Popen([sys.executable, "-c", spin])
    assert any(pid == child.pid for pid, _ in read_cpu().ours)
    child.wait()
    after = read_cpu()
    (us,) = (key for key in after.ours if key[0] == psutil.Process().pid)
    assert after.busy_s >= before.busy_s
    assert after.total_s > before.total_s
    if sys.platform == "linux":
        assert after.ours[us].waited_for_s - before.ours[us].waited_for_s >= 0.25


def test_what_we_started_is_found_below_what_we_started(tmp_path: Path) -> None:
    """As the kernel lists them, by the thread that started each; and as without that list."""
    script = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); print('up', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        us = psutil.Process()
        below = {each.pid for each in us.children(recursive=True)}
        assert child.pid in below
        assert (
            {each.pid for each in our_processes()} == {each.pid for each in our_processes(tmp_path)} == {us.pid, *below}
        )
        for pid in below:
            psutil.Process(pid).kill()
