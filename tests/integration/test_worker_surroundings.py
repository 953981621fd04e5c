"""What the real worker process is started with: its MPS variables exactly when they should be there, CPUs, pages.

The MPS daemon is a program of ours that stands in for NVIDIA's, and so is the answer to the question for GPUs.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

import psutil
import pytest
from fixtures_mps import FakeMpsDaemon

from gogrid_desktop.agent import supervisor as supervising
from gogrid_desktop.agent.supervisor import Death, Supervisor
from gogrid_desktop.agent.surroundings import Surroundings
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.config.store import change
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Profile
from gogrid_desktop.errors import ConfigError, GoGridError, WorkerStartFailed
from gogrid_desktop.system import huge_pages
from gogrid_desktop.system.affinity.bound import ProcessAffinity
from gogrid_desktop.system.gpu import Gpu, GpuReading
from gogrid_desktop.system.mps.daemon import MpsControl
from gogrid_desktop.worker import messages as w

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="MPS and /proc are of Linux")

GIB = 2**30
MPS_SETTINGS = {"mps.enabled": "true", "mps.thread_percent": 40, "mps.memory_mib": "2048"}
MPS_VARIABLES = {
    "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "40",
    "CUDA_MPS_CLIENT_PRIORITY": "1",
    "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=2048M,1=2048M",
}


class StandInGpus:
    """Two GPUs, or none."""

    name = "stand-in"

    def __init__(self, count: int) -> None:
        self._gpus = tuple(Gpu(i, f"GPU {i}", "580", 8 * GIB, 0, 8 * GIB, None, f"GPU-{i}") for i in range(count))

    def read(self) -> GpuReading:
        return GpuReading(self._gpus)


def surroundings(values: Mapping[str, Any], gpus: int = 0, **environ: str) -> Surroundings:
    settings = change(Settings(), dict(values))
    return Surroundings(lambda: settings, StandInGpus(gpus), MpsControl(), ProcessAffinity(), environ)


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMpsDaemon:
    """One that does not run yet."""
    fake = FakeMpsDaemon(tmp_path)
    monkeypatch.setenv("PATH", fake.search_path())
    return fake


@asynccontextmanager
async def started(
    around: Surroundings, on_applied: Callable[[w.Applied], None] = lambda _: None
) -> AsyncIterator[Supervisor]:
    """The real worker, once it has said hello."""
    hello = asyncio.Event()

    def on_event(event: w.Event) -> None:
        match event:
            case w.Hello():
                hello.set()
            case w.Applied():
                on_applied(event)

    supervisor = Supervisor(on_event, (), around.environment, around.before_kill)
    run = asyncio.create_task(supervisor.run_once())
    greeted = asyncio.create_task(hello.wait())
    try:
        async with asyncio.timeout(60):
            await asyncio.wait({run, greeted}, return_when=asyncio.FIRST_COMPLETED)
        if run.done():
            await run
        yield supervisor
    finally:
        greeted.cancel()
        run.cancel()
        await asyncio.gather(run, greeted, return_exceptions=True)


def environment_of(pid: int | None) -> dict[str, str]:
    """What the kernel says that the process was started with."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)


def mps_of(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("CUDA_MPS_")}


@pytest.mark.parametrize(("enabled", "gpus", "answers"), list(product([True, False], [2, 0], [True, False])))
async def test_the_mps_variables_are_in_the_real_environment_exactly_when_they_should(
    enabled: bool, gpus: int, answers: bool, daemon: FakeMpsDaemon
) -> None:
    if answers:
        daemon.runs()
    around = surroundings({**MPS_SETTINGS, "mps.enabled": enabled}, gpus)
    if enabled and gpus and not answers:
        with pytest.raises(WorkerStartFailed, match="no MPS daemon answers") as caught:
            async with started(around):
                pytest.fail("a worker runs without the limits that were asked for")
        assert "nvidia-cuda-mps-control -d" in caught.value.remedy
        return
    async with started(around) as supervisor:
        assert mps_of(environment_of(supervisor.pid)) == (MPS_VARIABLES if enabled and gpus else {})


@pytest.mark.parametrize(
    ("more", "environ"),
    [({"worker.gpu_layers": 0}, {}), ({}, {"CUDA_VISIBLE_DEVICES": ""})],
    ids=["no layer on a GPU", "no visible device"],
)
async def test_a_worker_on_the_processor_passes_through_untouched_and_no_daemon_is_asked(
    more: dict[str, Any], environ: dict[str, str], daemon: FakeMpsDaemon
) -> None:
    around = surroundings({**MPS_SETTINGS, **more}, 2, **environ)
    async with started(around) as supervisor:
        assert mps_of(environment_of(supervisor.pid)) == {}
    assert daemon.told == []


async def test_a_worker_whose_plan_takes_no_gpu_is_no_client_though_the_agent_sees_one(daemon: FakeMpsDaemon) -> None:
    daemon.runs()
    around = surroundings(MPS_SETTINGS, 2)
    assert around.environment({"CUDA_VISIBLE_DEVICES": ""}) == {"CUDA_VISIBLE_DEVICES": ""}
    limits = {name: value.partition(",")[0] for name, value in MPS_VARIABLES.items()}
    assert around.environment({"CUDA_VISIBLE_DEVICES": "1"}) == {**limits, "CUDA_VISIBLE_DEVICES": "1"}


async def test_limits_that_the_agent_was_started_with_are_not_the_workers_but_the_pipes_folder_is(
    daemon: FakeMpsDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", "99")
    monkeypatch.setenv("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", "0=9999M")
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", "/run/mps")
    async with started(surroundings({}, 2)) as supervisor:
        assert mps_of(environment_of(supervisor.pid)) == {"CUDA_MPS_PIPE_DIRECTORY": "/run/mps"}


@pytest.mark.parametrize(
    ("values", "gpus", "words"),
    [
        ({**MPS_SETTINGS, "mps.memory_mib": "2048,2048,2048"}, 2, "one for each of the 2"),
        ({**MPS_SETTINGS, "mps.memory_mib": "9000"}, 2, "8,192, all that the device has"),
        ({"worker.cpus": "4000"}, 0, "this computer lets it have"),
    ],
)
async def test_what_fits_no_longer_when_the_process_starts_is_refused_in_words(
    values: dict[str, Any], gpus: int, words: str, daemon: FakeMpsDaemon
) -> None:
    daemon.runs()
    with pytest.raises(GoGridError, match=words):
        async with started(surroundings(values, gpus)):
            pytest.fail("it was started")


#: A worker as far as its life goes; it says when the daemon was told of it.
QUIET = (sys.executable, "-c", "import time; time.sleep(60)")


async def killed(supervisor: Supervisor, kill: Callable[[int], object]) -> Death | None:
    """How it ends once it runs."""
    run = asyncio.create_task(supervisor.run_once())
    async with asyncio.timeout(30):
        while supervisor.pid is None:
            await asyncio.sleep(0.01)
        kill(supervisor.pid)
        try:
            return await run
        except asyncio.CancelledError:
            return None


async def test_a_client_is_ended_through_the_daemon_before_it_is_killed(daemon: FakeMpsDaemon) -> None:
    daemon.runs()
    around = surroundings(MPS_SETTINGS, 1)
    alive_when_told: list[bool] = []

    def before_kill(pid: int) -> None:
        daemon.runs({10: (pid,)})
        around.before_kill(pid)
        alive_when_told.append(psutil.pid_exists(pid))

    supervisor = Supervisor(lambda event: None, QUIET, around.environment, before_kill)
    pids: list[int] = []
    assert await killed(supervisor, lambda pid: (pids.append(pid), supervisor.kill())) is Death.ASKED
    assert daemon.told[-1] == f"terminate_client 10 {pids[0]}"
    assert alive_when_told == [True]


async def test_a_daemon_that_hangs_does_not_keep_a_worker_alive(
    daemon: FakeMpsDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "BEFORE_KILL_S", 0.05)
    daemon.runs()
    around = surroundings(MPS_SETTINGS, 1)
    supervisor = Supervisor(lambda event: None, QUIET, around.environment, around.before_kill)

    def kill(pid: int) -> None:
        daemon.is_deaf()
        supervisor.kill(hung=True)

    assert await killed(supervisor, kill) is Death.FAULT


async def test_a_worker_that_is_no_client_is_killed_at_once() -> None:
    asked: list[int] = []
    supervisor = Supervisor(lambda event: None, QUIET, dict, asked.append)
    assert await killed(supervisor, lambda pid: supervisor.kill()) is Death.ASKED
    assert asked == []


# --- CPUs and pages --------------------------------------------------------------------------------------------------


async def test_a_worker_runs_on_the_cpus_of_the_setting_with_all_its_threads_and_says_so() -> None:
    cpu = ProcessAffinity().usable()[-1]
    applied: asyncio.Queue[w.Applied] = asyncio.Queue()
    async with started(surroundings({"worker.cpus": str(cpu)}), applied.put_nowait) as supervisor:
        supervisor.send(w.SetLimits(seq=1, limits=PROFILE_LIMITS[Profile.BALANCED]))
        rank = (await asyncio.wait_for(applied.get(), 60)).rank
        assert rank is not None
        assert rank.cpus == (cpu,)
        threads = psutil.Process(supervisor.pid).threads()
        assert {frozenset(os.sched_getaffinity(thread.id)) for thread in threads} == {frozenset({cpu})}


def test_a_cpu_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigError) as caught:
        surroundings({"worker.cpus": "0-1,4000"}).environment()
    assert caught.value.field == "worker.cpus"
    assert "gogrid settings set worker.cpus" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "mode"), [("always [madvise] never\n", "madvise"), ("[always] madvise never", "always"), ("x", "")]
)
def test_huge_pages_are_asked_for_where_linux_gives_them_to_who_asks(text: str, mode: str, tmp_path: Path) -> None:
    switch = tmp_path / "enabled"
    assert (huge_pages.mode(switch), huge_pages.variables(switch)) == ("", {})
    switch.write_text(text)
    assert huge_pages.mode(switch) == mode
    assert bool(huge_pages.variables(switch)) == (mode == "madvise")


@pytest.mark.skipif(huge_pages.mode() != "madvise", reason="this kernel gives no huge pages to who asks")
@pytest.mark.parametrize("asks", [True, False])
def test_a_process_that_asks_gets_huge_pages_for_large_memory(asks: bool) -> None:
    program = (
        "block = bytearray(b'x' * (64 << 20))\n"
        "lines = open('/proc/self/smaps_rollup').read().splitlines()\n"
        "print(next(line.split()[1] for line in lines if line.startswith('AnonHugePages')))"
    )
    environment = {**os.environ, **(surroundings({"worker.huge_pages": asks}).environment())}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=30)
    assert (int(done.stdout) >= 32 * 1024) == asks, done.stderr
