"""GPU facts through the real pynvml, which loads a stand-in for the driver's library, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
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
first, second = (dataclasses.replace(probe.read(), taken_at=0.0) for _ in range(2))
fixed = [tuple(dataclasses.replace(gpu, sampled_at=0.0) for gpu in reading.gpus) for reading in (first, second)]
assert fixed[0] == fixed[1]
try:
    still_open = ctypes.CDLL("libnvidia-ml.so.1").fakeStillOpen()
except OSError:
    still_open = 0
print(json.dumps({**dataclasses.asdict(dataclasses.replace(second, gpus=fixed[1])), "still_open": still_open}))
"""
LATER = """
import ctypes, dataclasses, json, sys
from pathlib import Path
from gogrid_desktop.system.gpu.nvml import NvmlGpu
now = 100.0
probe = NvmlGpu(keep_open=sys.argv[1] == "open", sysfs=Path(sys.argv[2]), clock=lambda: now)
for line in sys.stdin:
    now += float(line)
    reading = dataclasses.asdict(probe.read())
    library = ctypes.CDLL("libnvidia-ml.so.1")
    reading["asked"], reading["still_open"] = library.fakeAsked(), library.fakeStillOpen()
    print(json.dumps(reading), flush=True)
"""
ONE = f"{8 * GIB} {GIB} 1 0"


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
                "sampled_at": 0.0,
                "temperature_c": 51.0,
                "slowdown_c": 93.0,
                "power_w": 120.0,
                "fan": 0.4,
                "energy_j": 5000.0,
                "pci": "0000:01:00.0",
            }
        ],
        "problem": "",
        "taken_at": 0.0,
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
    use, heat = ("utilisation", "screen", "mode", "processes"), ("temperature_c", "slowdown_c", "power_w", "fan")
    assert {gpu[what] for what in (*use, *heat, "energy_j")} == {None}
    assert gpu["vram_free_bytes"] == 7 * GIB


def test_who_is_on_a_gpu_is_told_each_process_once(library_folder: Path, tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    machine.write_text(f"{8 * GIB} {3 * GIB} 1 0 41:{GIB} 42:{2 * GIB}\n{24 * GIB} 0 0 2\n{4 * GIB} 0 0 3 7:5\n")
    first, second, third = read(str(machine), library_folder)["gpus"]
    assert first["processes"] == [
        {"pid": 41, "used_bytes": GIB, "utilisation": 0.0},
        {"pid": 42, "used_bytes": 2 * GIB, "utilisation": 0.0},
    ]
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
    assert read(machine, library_folder) == {"gpus": [], "problem": problem, "taken_at": 0.0, "still_open": 0}


def processes(words: str, library: Path, tmp_path: Path) -> dict[int, tuple[int | None, float | None]]:
    machine = tmp_path / "machine"
    machine.write_text(f"{ONE} {words}\n")
    (gpu,) = read(str(machine), library)["gpus"]
    return {one["pid"]: (one["used_bytes"], one["utilisation"]) for one in gpu["processes"]}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("41:5:30 42:6", {41: (5, 0.3), 42: (6, 0.0)}),
        ("41:5:4000000", {41: (5, 1.0)}),  # a driver that lies
        ("41:5:30 use=none", {41: (5, None)}),
        ("41:-:30", {41: (None, 0.3)}),
        (f"41:{9 * GIB}:30", {41: (None, 0.3)}),  # more than the card has
        ("41::30", {41: (0, 0.3)}),  # it has just left the lists
        ("41::0", {}),
        ("41:5:30 41:7:60 41:6:10", {41: (7, 0.6)}),
    ],
)
def test_what_each_process_uses_is_told(
    words: str, told: dict[int, tuple[int | None, float | None]], library_folder: Path, tmp_path: Path
) -> None:
    assert processes(words, library_folder, tmp_path) == told


@pytest.mark.parametrize(
    ("words", "what", "value"),
    [
        ("temp=71", "temperature_c", 71.0),
        ("temp=4000", "temperature_c", None),
        ("temp=71 slow=93", "slowdown_c", 93.0),
        ("temp=71 slow=0", "slowdown_c", None),
        ("temp=71 margin=20", "slowdown_c", 91.0),
        ("margin=20", "slowdown_c", None),
        ("power=300", "power_w", 300.0),
        ("power=90000", "power_w", None),
        ("fan=130", "fan", 1.0),
        ("fan=900", "fan", None),
        ("energy=7", "energy_j", 7.0),
        ("gpu=250", "utilisation", 1.0),
        ("pci=193", "pci", "0000:c1:00.0"),
    ],
)
def test_heat_power_and_fan_are_told_where_they_make_sense(
    words: str, what: str, value: object, library_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "machine").write_text(f"{ONE} {words}\n")
    (gpu,) = read(str(tmp_path / "machine"), library_folder)["gpus"]
    assert gpu[what] == value


class Asked:
    """A process that reads again and again, on a machine that changes meanwhile."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder = process, folder

    def read(self, machine: str, after_s: float = 0.0) -> dict[str, Any]:
        fresh = self._folder / "machine.new"
        fresh.write_text(f"{machine}\n")
        fresh.replace(self._folder / "machine")
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{after_s}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def use(self, machine: str, after_s: float) -> tuple[float | None, float]:
        """What the first process uses of the GPU, and when that was found."""
        (gpu,) = self.read(machine, after_s)["gpus"]
        return gpu["processes"][0]["utilisation"], gpu["sampled_at"]


@pytest.fixture
def ask(library_folder: Path, tmp_path: Path) -> Iterator[Callable[[str], Asked]]:
    pipe = subprocess.PIPE
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library_folder), "FAKE_NVML_FILE": str(tmp_path / "machine")}
    with ExitStack() as all_of_them:

        def started(how: str) -> Asked:
            command = [sys.executable, "-c", LATER, how, str(tmp_path / "sys")]
            process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)
            all_of_them.enter_context(process)
            all_of_them.callback(process.kill)
            return Asked(process, tmp_path)

        yield started


def test_each_sample_of_use_counts_until_there_is_another_or_a_second_has_passed(ask: Callable[[str], Asked]) -> None:
    asked, at = ask("open"), time.time()
    assert asked.use(f"{ONE} 41:5:80 at={at:.3f}", 0.0) == (0.8, 100.0)
    assert asked.use(f"{ONE} 41:5:80 at={at:.3f}", 0.25) == (0.8, 100.0)
    assert asked.use(f"{ONE} 41:5:30 at={at + 0.01:.3f}", 0.25) == (0.3, 100.5)
    assert asked.use(f"{ONE} 41:5:30 at={at + 0.01:.3f}", 0.75) == (0.3, 100.5)
    assert asked.use(f"{ONE} 41:5:30 at={at + 0.01:.3f}", 0.5) == (0.0, 101.75)
    assert asked.use(f"{ONE} 41:5:30 at={at + 0.01:.3f}", 0.25) == (0.0, 101.75)


def test_use_from_before_the_first_look_does_not_count(ask: Callable[[str], Asked]) -> None:
    assert ask("open").use(f"{ONE} 41:5:80 at={time.time() - 60:.3f}", 0.0) == (0.0, 100.0)


def test_a_clock_that_was_put_back_does_not_hide_what_is_used(ask: Callable[[str], Asked]) -> None:
    asked = ask("open")
    # A stamp of an hour ahead is as the last one from before the clock was put back.
    assert asked.use(f"{ONE} 41:5:80 at={time.time() + 3600:.3f}", 0.0) == (0.8, 100.0)
    assert asked.use(f"{ONE} 41:5:20 at={time.time() + 0.5:.3f}", 0.5) == (0.2, 100.5)


@pytest.mark.parametrize(("how", "still_open"), [("open", 1), ("closed", 0)])
def test_nvml_stays_open_only_where_it_is_to(how: str, still_open: int, ask: Callable[[str], Asked]) -> None:
    asked = ask(how)
    assert [asked.read(ONE)["still_open"] for _ in range(3)] == [still_open] * 3
    assert asked.read(ONE)["asked"] == (1 if still_open else 4)


@pytest.mark.parametrize("how", ["open", "closed"])
@pytest.mark.parametrize(
    ("trouble", "problem"),
    [
        ("lost", "The NVIDIA driver answers with an error: GPU is lost."),
        ("none", "The NVIDIA driver runs, but sees no GPU."),
        ("no-driver", "The NVIDIA driver"),
    ],
)
def test_a_gpu_or_a_driver_that_goes_away_is_said_and_found_again(
    how: str, trouble: str, problem: str, ask: Callable[[str], Asked]
) -> None:
    asked = ask(how)
    assert asked.read(ONE)["gpus"]
    gone = asked.read(trouble)
    assert not gone["gpus"] and gone["problem"].startswith(problem)
    there = asked.read(ONE)
    assert there["gpus"] and not there["problem"]


def test_a_driver_that_was_reset_is_opened_again(ask: Callable[[str], Asked]) -> None:
    asked = ask("open")
    assert asked.read(ONE)["gpus"]
    assert asked.read(f"reset\n{ONE}")["problem"] == "The NVIDIA driver answers with an error: Uninitialized."
    assert asked.read(f"reset\n{ONE}")["gpus"]


def device(sys_folder: Path, address: str, vendor: str, kind: str, status: str) -> None:
    folder = sys_folder / "bus/pci/devices" / address
    (folder / "power").mkdir(parents=True, exist_ok=True)
    for name, text in {"vendor": vendor, "class": kind, "power/runtime_status": status}.items():
        (folder / name).write_text(f"{text}\n")


def test_a_gpu_that_sleeps_is_not_woken(ask: Callable[[str], Asked], tmp_path: Path) -> None:
    asked = ask("closed")
    device(tmp_path / "sys", "0000:00:02.0", "0x8086", "0x030000", "active")
    device(tmp_path / "sys", "0000:01:00.0", "0x10de", "0x030200", "active")
    device(tmp_path / "sys", "0000:01:00.1", "0x10de", "0x040300", "active")  # its sound, which wakes no driver
    busy = f"{8 * GIB} {3 * GIB} 1 0 41:{2 * GIB}:80 temp=71"
    assert asked.read(busy)["asked"] == 1
    device(tmp_path / "sys", "0000:01:00.0", "0x10de", "0x030200", "suspended")
    asleep = asked.read(busy)
    (gpu,) = asleep["gpus"]
    assert asleep["asked"] == 1
    assert (gpu["processes"], gpu["utilisation"], gpu["temperature_c"]) == ([], 0.0, None)
    assert (gpu["vram_used_bytes"], gpu["vram_free_bytes"], gpu["name"]) == (GIB, 7 * GIB, "NVIDIA Stand-in 8")
    device(tmp_path / "sys", "0000:01:00.0", "0x10de", "0x030200", "active")
    assert asked.read(busy)["gpus"][0]["processes"][0]["utilisation"] == 0.8


def test_it_is_woken_once_where_nothing_is_known_of_it(ask: Callable[[str], Asked], tmp_path: Path) -> None:
    asked = ask("closed")
    device(tmp_path / "sys", "0000:01:00.0", "0x10de", "0x030000", "suspended")
    assert [asked.read(ONE)["asked"] for _ in range(3)] == [1, 1, 1]


def test_another_one_that_is_awake_has_both_asked(ask: Callable[[str], Asked], tmp_path: Path) -> None:
    asked = ask("closed")
    device(tmp_path / "sys", "0000:01:00.0", "0x10de", "0x030000", "suspended")
    device(tmp_path / "sys", "0000:02:00.0", "0x10de", "0x030000", "active")
    assert [asked.read(ONE)["asked"] for _ in range(2)] == [1, 2]


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
