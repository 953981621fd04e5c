"""GPU facts through the real pynvml, which loads a stand-in for the driver's library, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gogrid_desktop.system.gpu import GpuProbe
from gogrid_desktop.system.gpu.null import NullGpu
from gogrid_desktop.system.gpu.nvml import NvmlGpu

GIB = 2**30
READ = """
import ctypes, dataclasses, json
from gogrid_desktop.system.gpu.nvml import NvmlGpu
probe = NvmlGpu()
first, second = probe.read(), probe.read()
assert first == second
try:
    still_open = ctypes.CDLL("libnvidia-ml.so.1").fakeStillOpen()
except OSError:
    still_open = 0
print(json.dumps({**dataclasses.asdict(second), "still_open": still_open}))
"""


def read(machine: str, folder: Path) -> dict[str, Any]:
    chosen = "FAKE_NVML_FILE" if machine.startswith("/") else "FAKE_NVML"
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), chosen: machine}
    asked = subprocess.run([sys.executable, "-c", READ], env=environment, capture_output=True, text=True, check=True)
    return json.loads(asked.stdout)


def test_one_gpu_is_told_with_its_memory_driver_and_use(library_folder: Path) -> None:
    assert read("one", library_folder) == {
        "gpus": [
            {
                "index": 0,
                "name": "NVIDIA Stand-in 8",
                "driver": "550.00",
                "vram_total_bytes": 8 * GIB,
                "vram_used_bytes": GIB,
                "vram_free_bytes": 7 * GIB,
                "utilisation": 0.37,
                "uuid": "GPU-00000000-0000-0000-0000-000000000000",
                "screen": True,
                "mode": "everybody",
                "processes": [],
            }
        ],
        "problem": "",
        "still_open": 0,
    }


def test_two_gpus_are_told_in_their_order(library_folder: Path) -> None:
    gpus = read("two", library_folder)["gpus"]
    assert [(gpu["index"], gpu["name"], gpu["vram_total_bytes"] // GIB) for gpu in gpus] == [
        (0, "NVIDIA Stand-in 8", 8),
        (1, "NVIDIA Stand-in 24", 24),
    ]


def test_a_gpu_that_is_lost_does_not_hide_the_other_one(library_folder: Path) -> None:
    reading = read("half-lost", library_folder)
    assert [(gpu["index"], gpu["name"]) for gpu in reading["gpus"]] == [(1, "NVIDIA Stand-in 24")]
    assert reading["problem"] == ""


def test_a_gpu_that_does_not_tell_its_use_is_there_all_the_same(library_folder: Path) -> None:
    (gpu,) = read("silent", library_folder)["gpus"]
    assert [gpu[what] for what in ("utilisation", "screen", "mode", "processes")] == [None] * 4
    assert gpu["vram_free_bytes"] == 7 * GIB


def test_who_is_on_a_gpu_is_told_each_process_once(library_folder: Path, tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    machine.write_text(f"{8 * GIB} {3 * GIB} 1 0 41:{GIB} 42:{2 * GIB}\n{24 * GIB} 0 0 2\n{4 * GIB} 0 0 3 7:5\n")
    first, second, third = read(str(machine), library_folder)["gpus"]
    assert first["processes"] == [{"pid": 41, "used_bytes": GIB}, {"pid": 42, "used_bytes": 2 * GIB}]
    assert (first["screen"], second["screen"]) == (True, False)
    assert [gpu["mode"] for gpu in (first, second, third)] == ["everybody", "nobody", "one process"]
    assert len({gpu["uuid"] for gpu in (first, second, third)}) == 3


@pytest.mark.parametrize(
    ("machine", "problem"),
    [
        ("no-driver", "The NVIDIA driver is installed, but not loaded."),
        ("no-permission", "This user may not use the NVIDIA driver."),
        ("none", "The NVIDIA driver runs, but sees no GPU."),
        ("lost", "The NVIDIA driver answers with an error: GPU is lost."),
    ],
)
def test_why_there_is_no_gpu_is_said_in_words_and_nothing_stays_open(
    machine: str, problem: str, library_folder: Path
) -> None:
    assert read(machine, library_folder) == {"gpus": [], "problem": problem, "still_open": 0}


def test_without_the_library_no_driver_is_installed(tmp_path: Path) -> None:
    # A file that is no library stands before any real one in the search.
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"no library")
    assert read("one", tmp_path)["problem"] == "No NVIDIA driver is installed."


@pytest.mark.parametrize("probe", [NullGpu(), NvmlGpu()], ids=lambda probe: probe.name)
def test_every_probe_gives_gpus_or_a_reason(probe: GpuProbe) -> None:
    reading = probe.read()
    assert bool(reading.gpus) != bool(reading.problem)
    for gpu in reading.gpus:
        assert 0 < gpu.vram_free_bytes + gpu.vram_used_bytes <= gpu.vram_total_bytes * 1.01
