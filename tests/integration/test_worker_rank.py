"""The rank of the worker's process: as set, as read back, and as far as an ordinary user may go (real processes)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gogrid_desktop.core.profiles import PROFILE_LIMITS, Profile

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nice and ionice as Linux has them")

NOBODY = 65534
#: Our own code, become an ordinary user after its imports: the interpreter may lie where he cannot read.
PROGRAM = """
import ctypes, dataclasses, json, os, sys, threading, time
from dataclasses import replace
import psutil
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Profile
from gogrid_desktop.system import host
from gogrid_desktop.system.priority.groups import find_groups
from gogrid_desktop.system.priority.linux import LinuxPriority
user, grouped, asked = int(sys.argv[1]), sys.argv[2] == "grouped", json.loads(sys.argv[3])
if user:
    os.setpriority(os.PRIO_PROCESS, 0, int(sys.argv[4]))
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: his own files in /proc are his again, as after an exec
done = threading.Event()
other = threading.Thread(target=done.wait)
other.start()
priority = LinuxPriority(groups=find_groups if grouped else list)
for nice, io_class, level in asked:
    limits = replace(PROFILE_LIMITS[Profile.BALANCED], nice=nice, ionice_class=io_class, ionice_level=level)
    held = dataclasses.asdict(priority.hold(limits))
    held["threads"] = sorted({os.getpriority(os.PRIO_PROCESS, t.id) for t in psutil.Process().threads()})
    held["disk"] = sorted({tuple(map(int, psutil.Process(t.id).ionice())) for t in psutil.Process().threads()})
    if grouped:
        held["group"] = open("/proc/self/autogroup").read().split()[-1]
        time.sleep(0.2)  # the kernel takes a new value from ordinary users every 0.1 s
    print(json.dumps(held))
done.set()
"""

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become an ordinary user")


def ranks(user: int, *asked: tuple[int, int, int | None], grouped: bool = False, born: int = 0) -> list[dict[str, Any]]:
    """What holds after each (nice, ionice class, level), asked for one after the other in one process."""
    group = "grouped" if grouped else "alone"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(user), group, json.dumps(asked), str(born)],
        capture_output=True,
        text=True,
        timeout=30,
        start_new_session=True,
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_thread_gets_the_rank_and_it_is_read_back() -> None:
    gentle, gentler = ranks(0, (10, 2, 6), (15, 3, None))
    assert (gentle["nice"], gentle["threads"]) == (10, [10])
    assert (gentle["io_class"], gentle["io_level"], gentle["disk"]) == (2, 6, [[2, 6]])
    assert (gentler["nice"], gentler["threads"], gentler["io_class"]) == (15, [15], 3)
    assert gentle["refused"] == gentler["refused"] == []


@as_root
def test_an_ordinary_user_steps_back_and_is_told_that_only_a_restart_comes_forward_again() -> None:
    back, further, forward = ranks(NOBODY, (10, 3, None), (15, 3, None), (0, 2, 4))
    assert (back["nice"], back["needs_restart"], back["refused"]) == (10, False, [])
    assert (further["nice"], further["needs_restart"]) == (15, False)
    assert (forward["nice"], forward["threads"], forward["needs_restart"]) == (15, [15], True)
    assert forward["refused"] == ["nice stays 15: only the administrator, or a new process, can have 0."]
    assert (forward["io_class"], forward["io_level"]) == (2, 4), "the disk goes both ways"


@as_root
def test_an_ordinary_user_who_began_far_back_is_not_told_to_restart_for_what_no_restart_gives() -> None:
    held, back, forward = ranks(NOBODY, (0, 3, None), (15, 3, None), (0, 3, None), born=5)
    assert (held["nice"], held["needs_restart"]) == (5, False)
    assert held["refused"] == ["nice stays 5: only the administrator can have 0."]
    assert (back["nice"], back["needs_restart"]) == (15, False)
    assert (forward["nice"], forward["needs_restart"]) == (15, True), "it could have 5 again"


@as_root
def test_an_ordinary_user_is_told_that_real_time_disk_access_is_not_his() -> None:
    (held,) = ranks(NOBODY, (10, 1, 0))
    assert held["io_class"] != 1
    assert held["refused"] == ["ionice class 1 is for the administrator."]


@as_root
@pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists() or Path("/proc/sys/kernel/sched_autogroup_enabled").read_text() != "1\n",
    reason="this kernel makes no autogroups",
)
def test_with_autogroups_an_ordinary_user_comes_forward_again_by_that_of_his_session() -> None:
    back, forward = ranks(NOBODY, (15, 3, None), (0, 2, 4), grouped=True)
    if back["autogroup_nice"] is None:
        pytest.skip("a cgroup ranks this process: autogroups are not in effect")
    assert (back["nice"], back["autogroup_nice"], back["group"]) == (15, 15, "15")
    assert (forward["nice"], forward["autogroup_nice"], forward["group"]) == (15, 0, "0")
    assert (forward["needs_restart"], forward["refused"]) == (False, [])


def test_the_profiles_ranks_are_those_of_the_feature_table() -> None:
    named = [PROFILE_LIMITS[profile] for profile in (Profile.CONSERVATIVE, Profile.BALANCED, Profile.AGGRESSIVE)]
    assert [(one.nice, one.ionice_class) for one in named] == [(15, 3), (10, 3), (0, 2)]
    assert replace(named[0], nice=0).meet(named[1]).nice == 10
