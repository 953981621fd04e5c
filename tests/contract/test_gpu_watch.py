"""GPUs asked through a process of their own, with the stand-in for NVIDIA's library, whatever happens to the driver."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from gogrid_desktop.system import host
from gogrid_desktop.system.gpu import ComputeMode, Gpu, GpuProcess, GpuReading
from gogrid_desktop.system.gpu.frames import Ask, read_ask, read_reading, write_ask, write_reading
from gogrid_desktop.system.gpu.watched import CLOSED, COMMAND, DIED, SILENT, Timing, WatchedGpu

GIB = 2**30
ONE = f"{8 * GIB} {GIB} 1 0 41:5:30"
NO_DRIVER = "The NVIDIA driver is installed, but not loaded."
LOST = "The NVIDIA driver answers with an error: GPU is lost."
PROCESSES = (GpuProcess(1, None, 0.5), GpuProcess(2, 7))
FULL = Gpu(
    0, "A", "1", 8, 2, 6, 0.5, "GPU-1", True, ComputeMode.ONE_PROCESS, PROCESSES, 3.0, 71.5, 93.0, 99.5, 0.4, 1.5
)
LIMIT_S = 20.0  # of what must come at last; nothing here measures
#: Every pause short, and whatever was read too old at once, so that each reading asks.
QUICK = Timing(0.0, answer_s=2.5, start_s=15.0, pause_s=0.05, longest_pause_s=0.2, absent_s=0.05, longest_absent_s=0.2)


class Machine:
    """The stand-in's file, its watchers, and what they hear."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._watched: list[WatchedGpu] = []
        self.heard: queue.Queue[GpuReading] = queue.Queue()

    def put(self, text: str) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{text}\n")
        fresh.replace(self._file)

    def watched(self, timing: Timing = QUICK, command: tuple[str, ...] = COMMAND) -> WatchedGpu:
        self._watched.append(WatchedGpu(command, timing))
        return self._watched[-1]

    def hears(self, wanted: Callable[[GpuReading], bool]) -> GpuReading:
        """The first reading heard that is wanted."""
        end = time.monotonic() + LIMIT_S
        while True:
            reading = self.heard.get(timeout=max(0.01, end - time.monotonic()))
            if wanted(reading):
                return reading

    def close(self) -> None:
        for watched in self._watched:
            watched.close()


@pytest.fixture
def machine(library_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library_folder))
    monkeypatch.setenv("FAKE_NVML_FILE", str(tmp_path / "machine"))
    it = Machine(tmp_path / "machine")
    it.put(ONE)
    yield it
    it.close()
    assert comes(lambda: not helpers())


def helpers() -> list[psutil.Process]:
    """Those of this test process."""
    return [child for child in psutil.Process().children() if COMMAND[-1] in child.cmdline()]


def comes(true: Callable[[], object]) -> bool:
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        try:
            if true():
                return True
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.02)
    return False


def reads(watched: WatchedGpu, problem: str = "") -> bool:
    """Whether it says so at last: a process may take longer to start than a reading may take."""
    return comes(lambda: watched.read().problem == problem)


def use(reading: GpuReading) -> float | None:
    return reading.gpus[0].processes[0].utilisation if reading.gpus and reading.gpus[0].processes else None


class TestReading:
    def test_it_says_what_the_driver_says(self, machine: Machine) -> None:
        watched = machine.watched()
        assert reads(watched)
        reading = watched.read()
        assert reading.gpus[0].processes == (GpuProcess(41, 5, 0.3),)
        assert reading == watched.latest and reading.taken_at

    def test_a_fresh_reading_is_given_again_without_a_question(self, machine: Machine) -> None:
        watched = machine.watched(Timing(fresh_s=60.0, answer_s=LIMIT_S))
        first = watched.read()
        machine.put(f"{8 * GIB} {2 * GIB} 1 0")
        assert watched.read() is first and first.gpus

    def test_an_old_one_is_not(self, machine: Machine) -> None:
        watched = machine.watched(Timing(fresh_s=0.0, answer_s=LIMIT_S))
        assert watched.read().gpus[0].vram_used_bytes == GIB
        machine.put(f"{8 * GIB} {2 * GIB} 1 0")
        assert watched.read().gpus[0].vram_used_bytes == 2 * GIB
        assert len(helpers()) == 1

    def test_nothing_is_started_before_somebody_asks(self, machine: Machine) -> None:
        machine.watched()
        assert not helpers()

    def test_what_stays_silent_is_killed_said_and_asked_again(self, machine: Machine) -> None:
        watched = machine.watched()
        assert reads(watched)
        (hanging,) = helpers()
        machine.put("hang")
        assert reads(watched, SILENT)
        assert comes(lambda: not hanging.is_running())
        machine.put(ONE)
        assert reads(watched)

    def test_a_process_that_dies_is_said_and_started_again(self, machine: Machine) -> None:
        watched = machine.watched(Timing(fresh_s=0.0, answer_s=LIMIT_S, pause_s=0.3, longest_pause_s=0.3))
        assert watched.read().gpus
        watched.watch(3600.0, machine.heard.put)
        machine.hears(lambda reading: bool(reading.gpus))
        helpers()[0].kill()
        assert machine.hears(lambda reading: bool(reading.problem)).problem == DIED
        assert machine.hears(lambda reading: bool(reading.gpus))

    @pytest.mark.parametrize(
        ("trouble", "problem"),
        [("no-driver", NO_DRIVER), ("lost", LOST), ("none", "The NVIDIA driver runs, but sees no GPU.")],
    )
    def test_a_driver_that_goes_is_said_and_found_when_it_comes_back(
        self, trouble: str, problem: str, machine: Machine
    ) -> None:
        watched = machine.watched()
        assert reads(watched)
        machine.put(trouble)
        # A driver that is not there any more says so at its next opening alone.
        assert comes(lambda: watched.read().problem in (problem, LOST.replace("GPU is lost", "Uninitialized")))
        assert reads(watched, problem)
        assert comes(lambda: not helpers())
        machine.put(ONE)
        assert reads(watched)

    def test_a_driver_that_is_missing_at_first_is_found_later_by_another_process(self, machine: Machine) -> None:
        machine.put("no-driver")
        watched = machine.watched()
        assert reads(watched, NO_DRIVER)
        assert comes(lambda: not helpers())
        machine.put(ONE)
        assert reads(watched)

    def test_a_driver_that_was_never_there_is_not_looked_for_at_every_reading(self, machine: Machine) -> None:
        machine.put("no-driver")
        watched = machine.watched(Timing(fresh_s=0.0, answer_s=LIMIT_S, absent_s=3600.0, longest_absent_s=3600.0))
        assert watched.read().problem == NO_DRIVER
        assert comes(lambda: not helpers())
        machine.put(ONE)
        assert {watched.read().problem for _ in range(5)} == {NO_DRIVER}
        assert not helpers()

    def test_without_any_library_it_says_so(
        self, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "libnvidia-ml.so.1").write_bytes(b"no library")
        monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
        assert reads(machine.watched(), "No NVIDIA driver is installed.")

    def test_a_program_that_cannot_be_started_is_a_problem_in_words(self, machine: Machine) -> None:
        watched = machine.watched(command=("/nowhere/at/all",))
        assert watched.read().problem.startswith("The GPUs cannot be asked: ")

    @pytest.mark.parametrize("said", ["{}", "[1]", "no JSON", '{"gpus": [{}], "problem": "", "taken_at": 0}'])
    def test_a_process_that_talks_nonsense_is_taken_for_dead(self, said: str, machine: Machine) -> None:
        watched = machine.watched(command=(sys.executable, "-c", f"print({said!r}, flush=True); input(); input()"))
        assert reads(watched, DIED)

    def test_after_its_end_nothing_is_asked(self, machine: Machine) -> None:
        watched = machine.watched()
        assert reads(watched)
        watched.close()
        watched.close()
        assert watched.read().problem == CLOSED
        assert comes(lambda: not helpers())


class TestWatching:
    def test_samples_arrive_as_often_as_wanted(self, machine: Machine) -> None:
        watched = machine.watched()
        watched.watch(0.05, machine.heard.put)
        assert use(machine.hears(lambda reading: bool(reading.gpus))) == 0.3
        for percent in (80, 10):
            machine.put(f"{ONE[:-2]}{percent}")
            assert machine.hears(lambda reading, share=percent / 100: use(reading) == share)  # type: ignore[misc]
        assert len(helpers()) == 1

    def test_none_arrive_any_more_when_they_are_not_wanted(self, machine: Machine) -> None:
        watched = machine.watched()
        watched.watch(0.05, machine.heard.put)
        machine.hears(lambda reading: bool(reading.gpus))
        watched.watch(None, machine.heard.put)
        assert reads(watched)  # whatever was on its way has arrived
        while not machine.heard.empty():
            machine.heard.get()
        assert reads(watched)
        assert machine.heard.empty()

    @pytest.mark.parametrize(("trouble", "problem"), [("hang", SILENT), ("lost", LOST)])
    def test_trouble_is_heard_once_and_so_is_its_end(self, trouble: str, problem: str, machine: Machine) -> None:
        watched = machine.watched()
        watched.watch(0.05, machine.heard.put)
        machine.hears(lambda reading: bool(reading.gpus))
        machine.put(trouble)
        assert machine.hears(lambda reading: bool(reading.problem)).problem == problem
        assert reads(watched, problem)
        assert machine.heard.empty()
        machine.put(ONE)
        assert machine.hears(lambda reading: True).gpus

    def test_a_stopped_process_is_as_one_that_hangs(self, machine: Machine) -> None:
        watched = machine.watched()
        watched.watch(0.05, machine.heard.put)
        machine.hears(lambda reading: bool(reading.gpus))
        helpers()[0].send_signal(signal.SIGSTOP)
        assert machine.hears(lambda reading: bool(reading.problem)).problem == SILENT
        assert machine.hears(lambda reading: bool(reading.gpus))

    def test_a_driver_that_was_never_there_is_said_once_and_looked_for_when_asked(self, machine: Machine) -> None:
        machine.put("no-driver")
        watched = machine.watched()
        watched.watch(0.05, machine.heard.put)
        assert machine.hears(lambda reading: True).problem == NO_DRIVER
        assert comes(lambda: not helpers())
        machine.put(ONE)
        assert reads(watched)
        assert machine.hears(lambda reading: True).gpus

    def test_one_who_does_not_bear_a_reading_does_not_end_the_others(self, machine: Machine) -> None:
        def fails(reading: GpuReading) -> None:
            machine.heard.put(reading)
            raise RuntimeError("on purpose")

        machine.watched().watch(0.05, fails)
        assert [machine.hears(lambda reading: bool(reading.gpus)).problem for _ in range(3)] == [""] * 3


class TestTheProcess:
    def test_it_ends_some_time_after_the_last_question_and_another_takes_the_next(self, machine: Machine) -> None:
        watched = machine.watched(command=(*COMMAND, "0.2"))
        assert reads(watched)
        assert comes(lambda: not helpers())
        assert reads(watched)

    def test_it_does_not_rest_while_samples_are_wanted(self, machine: Machine) -> None:
        watched = machine.watched(command=(*COMMAND, "0.01"))
        watched.watch(0.05, machine.heard.put)
        first = machine.hears(lambda reading: bool(reading.gpus))
        assert machine.hears(lambda reading: reading.taken_at > first.taken_at + 0.2)
        assert len(helpers()) == 1

    @pytest.mark.parametrize("text", [ONE, "hang"])
    def test_it_ends_with_its_input(self, text: str, machine: Machine) -> None:
        machine.put(text)
        with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(write_ask(Ask(0.05)))
            process.stdin.flush()
            if text == ONE:
                assert read_reading(process.stdout.readline()).gpus
            process.stdin.close()
            assert process.wait(LIMIT_S) == 0

    def test_it_stays_small(self) -> None:
        found = "import sys, gogrid_desktop.system.gpu.watch; from gogrid_desktop.system import host; host.gpu_source()"
        told = subprocess.run(
            [sys.executable, "-c", f"{found}; print(*sys.modules)"], capture_output=True, text=True, check=True
        )
        large = {"pydantic", "psutil", "PySide6", "asyncio", "httpx", "keyring", "numpy", "Xlib", "jeepney"}
        assert not large & set(told.stdout.split())
        assert "pynvml" in told.stdout.split()

    def test_what_is_known_of_a_gpu_is_handed_to_the_next_process(self, machine: Machine, tmp_path: Path) -> None:
        """One that sleeps need not be woken then."""
        told = write_reading(GpuReading((FULL,)))
        note = f"open({str(tmp_path / 'asked')!r}, 'a').write(input() + '\\n')"
        watched = machine.watched(command=(sys.executable, "-c", f"{note}; print({told.decode()!r})"))
        assert comes(lambda: watched.read().gpus and len((tmp_path / "asked").read_bytes().splitlines()) > 1)
        first, second, *_ = map(read_ask, (tmp_path / "asked").read_bytes().splitlines())
        assert (first.known, second.known) == ((), (FULL,))


def test_a_reading_arrives_as_it_was_sent() -> None:
    reading = GpuReading((FULL, Gpu(1, "B", "", 1, 1, 0, None)), "", 12.5)
    assert read_reading(write_reading(reading)) == reading


def test_the_hosts_probe_gives_gpus_or_a_reason() -> None:
    probe = host.gpu_probe(patience_s=LIMIT_S)
    try:
        reading = probe.read()
    finally:
        probe.close()
    assert bool(reading.gpus) != bool(reading.problem)
