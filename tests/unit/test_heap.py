"""What was freed goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_a_block_that_is_freed_leaves_the_process_though_larger_ones_were_freed_before() -> None:
    """By default glibc takes what was freed for a hint to keep blocks of that size."""
    program = """
import psutil
from gogrid_desktop.system import heap
assert heap.give_back_what_is_free()
rss = psutil.Process().memory_info
bytearray(b"x") * (24 << 20)
between = [bytearray(b"x") * (1 << 20) for _ in range(40)]
held = rss().rss
del between[:-1]
print(held - rss().rss >= 38 << 20)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("True", "")
