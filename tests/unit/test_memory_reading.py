"""Main memory as the system tells it."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gogrid_desktop.system import memory

PSI = "some avg10=40.00 avg60=1.00 avg300=0.10 total=5\nfull avg10=12.50 avg60=0.50 avg300=0.05 total=3\n"


def test_a_reading_is_of_this_machine_and_of_the_processes_asked_about(tmp_path: Path) -> None:
    reading = memory.read([os.getpid()], tmp_path / "none")
    assert 0 < reading.available_bytes <= reading.total_bytes
    assert 0 < reading.own_bytes < reading.total_bytes
    assert reading.stalled == 0.0
    assert memory.read([], tmp_path / "none").own_bytes == 0


def test_stalls_are_read_where_the_system_tells_them(tmp_path: Path) -> None:
    file = tmp_path / "memory"
    file.write_text(PSI)
    assert memory.read(psi=file).stalled == pytest.approx(0.125)
    file.write_text("nothing that we know")
    assert memory.read(psi=file).stalled == 0.0


def test_a_process_that_has_gone_holds_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    assert memory.private_bytes(process.pid) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="what a mapped file counts as is asked of Linux here")
def test_a_mapped_file_is_not_held_by_the_process_that_maps_it(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    size = 64 * 2**20
    file.write_bytes(b"\1" * size)
    before = memory.private_bytes(os.getpid())
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) == size // mmap.PAGESIZE
        assert memory.private_bytes(os.getpid()) - before < size // 4
