"""The rank of the worker's process: as set, as read back, and as far as an ordinary user may go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from gogrid_desktop.core.profiles import PROFILE_LIMITS, Profile

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nice and ionice as Linux has them")

NOBODY = 65534
#: Our own code, become an ordinary user after its imports: the interpreter may lie where he cannot read.
PROGRAM = """
import json, os, sys, threading
from dataclasses import replace
import psutil
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Profile
from gogrid_desktop.worker.limits import apply_rank
if int(sys.argv[1]):
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
done = threading.Event()
other = threading.Thread(target=done.wait)
other.start()
limits = PROFILE_LIMITS[Profile.BALANCED]
for nice in json.loads(sys.argv[2]):
    held = apply_rank(replace(limits, nice=nice))
    threads = {os.getpriority(os.PRIO_PROCESS, t.id) for t in psutil.Process().threads()}
    io = psutil.Process().ionice()
    print(json.dumps([held, sorted(threads), int(io.ioclass)]))
done.set()
"""


def ranks(user: int, *nice: int) -> list[list[object]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(user), json.dumps(nice)], capture_output=True, text=True, timeout=30
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_thread_gets_the_rank_and_it_is_read_back() -> None:
    assert ranks(0, 10, 15) == [[10, [10], 3], [15, [15], 3]]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become an ordinary user")
def test_an_ordinary_user_steps_back_and_is_told_that_he_cannot_come_forward_again() -> None:
    assert ranks(NOBODY, 10, 15, 0) == [[10, [10], 3], [15, [15], 3], [15, [15], 3]]


def test_the_profiles_ranks_are_those_of_the_feature_table() -> None:
    named = [PROFILE_LIMITS[profile] for profile in (Profile.CONSERVATIVE, Profile.BALANCED, Profile.AGGRESSIVE)]
    assert [(one.nice, one.ionice_class) for one in named] == [(15, 3), (10, 3), (0, 2)]
    assert replace(named[0], nice=0).meet(named[1]).nice == 10
