"""The limits of an MPS client: refused in words, counted per visible device, and asked of a daemon (a stand-in)."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures_mps import FakeMpsDaemon
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.config.fields import allowed
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.config.store import change
from gogrid_desktop.core.mps import refused_memory, refused_percent
from gogrid_desktop.errors import BadInput, ConfigError
from gogrid_desktop.system.gpu import Gpu
from gogrid_desktop.system.mps import MEMORY, PRIORITY, THREADS, MpsAnswer, variables, visible
from gogrid_desktop.system.mps.daemon import MpsControl
from gogrid_desktop.system.mps.null import NoMps


def gpu(index: int, gib: int = 8) -> Gpu:
    return Gpu(index, f"GPU {index}", "580.1", gib * 2**30, 0, gib * 2**30, None, uuid=f"GPU-{index}932f937-d72c")


BOTH = (gpu(0, 4), gpu(1, 24))


# --- when settings are read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("mps.enabled", "true", True),
        ("mps.thread_percent", "1", 1),
        ("mps.thread_percent", 100, 100),
        ("mps.memory_mib", "512", (512,)),
        ("mps.memory_mib", "4096, 8192", (4096, 8192)),
        ("mps.memory_mib", "", ()),
        ("worker.cpus", " 3,0 - 1", "0-1,3"),
        ("worker.cpus", "", ""),
        ("worker.numa", "distribute", "distribute"),
        ("worker.mmap", "false", False),
        ("worker.mlock", "true", True),
        ("worker.huge_pages", "on", True),
    ],
)
def test_a_setting_is_taken(name: str, value: object, taken: object) -> None:
    assert change(Settings(), {name: value}).flat()[name] == (list(taken) if isinstance(taken, tuple) else taken)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("mps.thread_percent", "0", "0 would leave the worker no thread at all; a whole number from 1 to 100"),
        ("mps.thread_percent", "101", "a whole number from 1 to 100"),
        ("mps.thread_percent", "-1", "a whole number from 1 to 100"),
        ("mps.thread_percent", "most", "a whole number from 1 to 100"),
        ("mps.memory_mib", "511", "a whole number of MiB from 512"),
        ("mps.memory_mib", "4096,0", "a whole number of MiB from 512"),
        ("mps.memory_mib", "4G", "a whole number of MiB from 512"),
        ("worker.cpus", "0-", "such as 0-3,8"),
        ("worker.cpus", "all", "such as 0-3,8"),
        ("worker.numa", "some", "off, distribute, isolate, numactl"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_its_name_and_what_it_may_be(
    name: str, value: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        change(Settings(), {name: value})
    assert caught.value.field == name
    assert words in str(caught.value)


def test_every_one_of_these_settings_says_what_it_may_be() -> None:
    assert allowed("mps.thread_percent") == "a whole number from 1 to 100"
    assert allowed("mps.memory_mib") == "a whole number of MiB from 512"


@given(st.integers(-(2**65), 2**65))
def test_a_percentage_is_taken_exactly_from_1_to_100(percent: int) -> None:
    assert (refused_percent(percent) == "") == (1 <= percent <= 100)


@given(st.integers(-(2**65), 2**65), st.integers(0, 2**45))
def test_memory_is_taken_exactly_from_512_to_what_the_device_has(mib: int, total: int) -> None:
    assert (refused_memory(mib, total) == "") == (512 <= mib <= total)


# --- when the process starts -----------------------------------------------------------------------------------------


def test_the_limits_are_those_of_each_visible_device() -> None:
    assert variables(30, (4096, 8192), BOTH) == {THREADS: "30", PRIORITY: "1", MEMORY: "0=4096M,1=8192M"}
    assert variables(30, (4096,), BOTH)[MEMORY] == "0=4096M,1=4096M"
    assert MEMORY not in variables(100, (), BOTH)


@pytest.mark.parametrize(
    ("percent", "memory", "words"),
    [
        (0, (), "0 would leave the worker no thread at all"),
        (30, (1024, 1024, 1024), "one for each of the 2"),
        (30, (511,), "from 512"),
        (30, (4097, 1024), "from 512 to 4,096, all that the device has"),
    ],
)
def test_limits_are_checked_again_against_the_devices_that_there_are(
    percent: int, memory: tuple[int, ...], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        variables(percent, memory, BOTH)


@pytest.mark.parametrize(
    ("listed", "seen"),
    [
        (None, [0, 1]),
        ("0,1", [0, 1]),
        ("1", [1]),
        ("1, 0", [1, 0]),
        ("", []),
        ("-1", []),
        ("0,7,1", [0]),
        ("GPU-1932,0", [1, 0]),
        ("GPU-5932,1", [None, 1]),
        ("MIG-GPU-0932f937/1/2", [None]),
    ],
)
def test_a_process_sees_the_devices_of_cuda_visible_devices_in_that_order(
    listed: str | None, seen: list[int | None]
) -> None:
    assert [device and device.index for device in visible(BOTH, listed)] == seen
    assert len(visible(BOTH, listed)) == len(seen)


def test_a_gpu_of_another_maker_is_no_device_of_cuda() -> None:
    other = Gpu(2, "Radeon", "amdgpu", 2**33, 0, 2**33, None)
    assert visible((*BOTH, other), None) == visible(BOTH, None)
    assert visible((*BOTH, other), "0,2") == visible(BOTH, "0")


def test_a_device_named_by_its_uuid_takes_a_limit_without_a_ceiling() -> None:
    assert variables(50, (99_999,), (None,))[MEMORY] == "0=99999M"


# --- the daemon ------------------------------------------------------------------------------------------------------


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMpsDaemon:
    fake = FakeMpsDaemon(tmp_path)
    monkeypatch.setenv("PATH", fake.search_path())
    return fake


def test_a_daemon_that_runs_names_its_servers(daemon: FakeMpsDaemon) -> None:
    daemon.runs()
    assert MpsControl().ask() == MpsAnswer()
    daemon.runs({10: (1472,), 11: ()})
    assert MpsControl().ask() == MpsAnswer(servers=(10, 11))


def test_a_daemon_that_does_not_run_is_told_in_its_own_words(daemon: FakeMpsDaemon) -> None:
    assert MpsControl().ask().problem == "no MPS daemon answers (Cannot find MPS control daemon process)"


def test_a_daemon_that_never_answers_holds_nobody(daemon: FakeMpsDaemon) -> None:
    daemon.is_deaf()
    assert MpsControl(limit_s=0.1).ask().problem == "nvidia-cuda-mps-control does not answer within 0.1 s"
    assert not MpsControl(limit_s=0.1).end_client(1472)


def test_without_its_program_there_is_no_daemon() -> None:
    assert MpsControl("no-such-mps-control").ask().problem == "no-such-mps-control is not installed"
    assert NoMps().ask().problem
    assert not NoMps().end_client(1)


def test_a_client_is_ended_by_the_server_that_it_is_a_client_of(daemon: FakeMpsDaemon) -> None:
    daemon.runs({10: (7,), 11: (8, 1472)})
    assert MpsControl().end_client(1472)
    assert daemon.told[-1] == "terminate_client 11 1472"


def test_who_is_no_client_is_left_alone(daemon: FakeMpsDaemon) -> None:
    daemon.runs({10: (7,)})
    assert not MpsControl().end_client(1472)
    assert not any(command.startswith("terminate") for command in daemon.told)
