"""Ranking a process: Windows and macOS against faked calls, Linux's groups against a tree of files.

The calls of Linux itself are tested for real in tests/integration/test_worker_rank.py.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from gogrid_desktop.core.profiles import PROFILE_LIMITS, Limits, Profile
from gogrid_desktop.core.rank import Rank, weight_of
from gogrid_desktop.system import host
from gogrid_desktop.system.affinity.bound import ProcessAffinity
from gogrid_desktop.system.affinity.null import NoAffinity
from gogrid_desktop.system.priority import Priority
from gogrid_desktop.system.priority.groups import Group, Held, find_groups
from gogrid_desktop.system.priority.macos import MacPriority
from gogrid_desktop.system.priority.null import NoPriority
from gogrid_desktop.system.priority.windows import PowerThrottling, WindowsPriority
from gogrid_desktop.system.ranker import SystemRanker

CONSERVATIVE, BALANCED, AGGRESSIVE = (
    PROFILE_LIMITS[profile] for profile in (Profile.CONSERVATIVE, Profile.BALANCED, Profile.AGGRESSIVE)
)


class FakeWindows:
    """What Windows keeps of a process. `refuses`: names of calls that fail."""

    def __init__(self, *refuses: str) -> None:
        self.refuses = refuses
        self.priority, self.io, self.gpu, self.throttled = 0x20, 2, 2, 0
        self.kernel32 = SimpleNamespace(
            GetCurrentProcess=lambda: 2**64 - 1,
            SetProcessInformation=self._set_information,
            GetProcessInformation=self._get_information,
        )
        self.gdi32 = SimpleNamespace(
            D3DKMTSetProcessSchedulingPriorityClass=self._set_gpu,
            D3DKMTGetProcessSchedulingPriorityClass=self._get_gpu,
        )

    def nice(self, value: int | None = None) -> int:
        if value is not None:
            if "nice" in self.refuses:
                raise psutil.AccessDenied(1)
            self.priority = value
        return self.priority

    def ionice(self, value: int | None = None) -> int:
        if value is not None:
            if "ionice" in self.refuses:
                raise psutil.AccessDenied(1)
            self.io = value
        return self.io

    def _set_information(self, process: ctypes.c_void_p, kind: int, state: Any, size: int) -> int:
        assert (process.value, kind, size) == (2**64 - 1, 4, 12)
        given: PowerThrottling = state._obj
        assert (given.Version, given.ControlMask) == (1, 1)
        if "eco" in self.refuses:
            return 0
        self.throttled = given.StateMask
        return 1

    def _get_information(self, process: ctypes.c_void_p, kind: int, state: Any, size: int) -> int:
        if "eco read" in self.refuses:
            return 0
        state._obj.StateMask = self.throttled
        return 1

    def _set_gpu(self, process: ctypes.c_void_p, value: int) -> int:
        if "gpu" in self.refuses:
            return ctypes.c_int32(0xC0000022).value  # STATUS_ACCESS_DENIED, signed as ctypes gives it
        self.gpu = value
        return 0

    def _get_gpu(self, process: ctypes.c_void_p, value: Any) -> int:
        if "gpu read" in self.refuses:
            return -1
        value._obj.value = self.gpu
        return 0


class FakeMac:
    """What macOS keeps of a process of an ordinary user."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.nice, self.background, self.policy, self.refuses = 0, 0, 0, refuses

    def setpriority(self, which: int, who: int, value: int) -> int:
        assert who == 0, "the background state is only one's own to set"
        if which == 0 and value >= self.nice:
            self.nice = value
            return 0
        if which == 4 and not self.refuses:
            assert value in (0, 0x1000)
            self.background = int(value == 0x1000)
            return 0
        return -1

    def getpriority(self, which: int, who: int) -> int:
        return self.nice if which == 0 else self.background

    def setiopolicy_np(self, kind: int, scope: int, policy: int) -> int:
        assert (kind, scope) == (0, 0)
        if self.refuses:
            return -1
        self.policy = policy
        return 0

    def getiopolicy_np(self, kind: int, scope: int) -> int:
        return self.policy


def windows(fake: FakeWindows) -> WindowsPriority:
    return WindowsPriority(fake, fake)


ADAPTERS: list[Callable[[], Priority]] = [
    lambda: windows(FakeWindows()),
    lambda: windows(FakeWindows("nice", "ionice", "gpu", "gpu read", "eco", "eco read")),
    lambda: MacPriority(FakeMac()),
    lambda: MacPriority(FakeMac(refuses=True)),
    NoPriority,
]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("limits", [CONSERVATIVE, BALANCED, AGGRESSIVE, replace(AGGRESSIVE, ionice_class=1)])
def test_every_adapter_answers_with_what_holds_and_never_raises(
    adapter: Callable[[], Priority], limits: Limits
) -> None:
    rank = adapter().hold(limits)
    assert isinstance(rank, Rank)
    assert all(sentence.endswith(".") for sentence in rank.refused)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (CONSERVATIVE, ("idle", "very low", "idle", True)),
        (BALANCED, ("below normal", "very low", "below normal", False)),
        (AGGRESSIVE, ("normal", "normal", "normal", False)),
        (replace(AGGRESSIVE, ionice_level=7), ("normal", "low", "normal", False)),
    ],
)
def test_windows_takes_the_rank_of_each_profile(limits: Limits, expected: tuple[str, str, str, bool]) -> None:
    rank = windows(FakeWindows()).hold(limits)
    assert (rank.priority_class, rank.io_priority, rank.gpu_priority, rank.background) == expected
    assert (rank.refused, rank.needs_restart) == ((), False)


def test_windows_goes_both_ways() -> None:
    fake = FakeWindows()
    adapter = windows(fake)
    for limits in (CONSERVATIVE, AGGRESSIVE):
        adapter.hold(limits)
    assert (fake.priority, fake.io, fake.gpu, fake.throttled) == (0x20, 2, 2, 0)


def test_windows_reports_what_holds_not_what_was_asked_for() -> None:
    rank = windows(FakeWindows("nice", "ionice", "gpu", "eco")).hold(CONSERVATIVE)
    assert (rank.priority_class, rank.io_priority, rank.gpu_priority, rank.background) == (
        "normal",
        "normal",
        "normal",
        False,
    )
    assert len(rank.refused) == 4
    assert "0xc0000022" in rank.refused[2]


def test_a_windows_that_does_not_say_is_unknown() -> None:
    rank = windows(FakeWindows("gpu read", "eco read")).hold(CONSERVATIVE)
    assert (rank.gpu_priority, rank.background) == ("", None)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [(CONSERVATIVE, (15, True, "very low")), (BALANCED, (10, False, "very low")), (AGGRESSIVE, (0, False, "normal"))],
)
def test_macos_takes_the_rank_of_each_profile(limits: Limits, expected: tuple[int, bool, str]) -> None:
    rank = MacPriority(FakeMac()).hold(limits)
    assert (rank.nice, rank.background, rank.io_priority) == expected
    assert (rank.refused, rank.needs_restart) == ((), False)


def test_macos_leaves_the_background_but_needs_a_restart_for_its_nice_value() -> None:
    adapter = MacPriority(FakeMac())
    adapter.hold(CONSERVATIVE)
    rank = adapter.hold(AGGRESSIVE)
    assert (rank.nice, rank.background, rank.io_priority, rank.needs_restart) == (15, False, "normal", True)
    assert rank.refused == ("nice stays 15: only the administrator, or a new process, can have 0.",)


def test_macos_needs_no_restart_for_what_no_restart_gives() -> None:
    fake = FakeMac()
    fake.nice = 5
    rank = MacPriority(fake).hold(AGGRESSIVE)
    assert (rank.nice, rank.needs_restart) == (5, False)
    assert rank.refused == ("nice stays 5: only the administrator can have 0.",)


# --- Linux's groups --------------------------------------------------------------------------------------------------


class Tree:
    """/proc and /sys/fs/cgroup of one process, as files."""

    def __init__(self, folder: Path, memberships: str) -> None:
        self.proc, self.cgroups, self.pid = folder / "proc", folder / "cgroup", os.getpid()
        (self.proc / str(self.pid)).mkdir(parents=True)
        self.cgroups.mkdir()
        (self.proc / str(self.pid) / "cgroup").write_text(memberships)
        (self.proc / str(self.pid) / "autogroup").write_text("/autogroup-25 nice 0\n")
        switch = self.proc / "sys/kernel/sched_autogroup_enabled"
        switch.parent.mkdir(parents=True)
        switch.write_text("1\n")

    def cgroup(self, path: str, *pids: int, weight: int | None = 100) -> Path:
        folder = self.cgroups / path
        folder.mkdir(parents=True)
        (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
        if weight is not None:
            (folder / "cpu.weight").write_text(f"{weight}\n")
        return folder

    def groups(self) -> list[Group]:
        return find_groups(self.proc, self.cgroups, self.pid)


@pytest.fixture
def leads_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getsid", lambda pid: pid)


def test_a_cgroup_of_its_own_ranks_the_process_and_goes_both_ways(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "0::/user.slice/worker.scope\n")
    folder = tree.cgroup("user.slice/worker.scope", tree.pid)
    (group,) = tree.groups()
    assert group.hold(15) == (4, Held.WRITTEN)
    assert (folder / "cpu.weight").read_text() == "4"
    assert group.hold(0) == (100, Held.WRITTEN)


@pytest.mark.parametrize("others", [(1,), ()])
def test_a_cgroup_that_is_shared_or_another_ones_is_left_alone(others: tuple[int, ...], tmp_path: Path) -> None:
    tree = Tree(tmp_path, "0::/user.slice/session.scope\n")
    tree.cgroup("user.slice/session.scope", *others, *([tree.pid] if others else []))
    assert tree.groups() == []


def test_a_cgroup_that_may_not_be_written_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(tmp_path, "0::/worker.scope\n")
    tree.cgroup("worker.scope", tree.pid)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everything
    assert tree.groups() == []


@pytest.mark.usefixtures("leads_its_session")
@pytest.mark.parametrize("memberships", ["0::/\n", "0::/user.slice/a\n", "3:cpu,cpuacct:/\n0::/\n", "1:cpu:/\n"])
def test_where_no_cgroup_ranks_it_the_autogroup_of_its_session_does(memberships: str, tmp_path: Path) -> None:
    tree = Tree(tmp_path, memberships)
    (group,) = tree.groups()
    assert group.path.name == "autogroup"
    assert group.hold(0) == (0, Held.WRITTEN)


@pytest.mark.usefixtures("leads_its_session")
def test_an_autogroup_counts_only_where_it_is_in_effect(tmp_path: Path) -> None:
    ranked = Tree(tmp_path / "a", "0::/user.slice/a.scope\n")
    ranked.cgroup("user.slice", weight=100)
    assert ranked.groups() == []
    older = Tree(tmp_path / "b", "2:cpu:/user.slice\n0::/\n")
    assert older.groups() == []
    off = Tree(tmp_path / "c", "0::/\n")
    (off.proc / "sys/kernel/sched_autogroup_enabled").write_text("0\n")
    assert off.groups() == []


def test_an_autogroup_shared_with_other_programs_of_the_session_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getsid", lambda pid: pid - 1)
    assert Tree(tmp_path, "0::/\n").groups() == []


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="threads as Linux has them")
def test_a_group_that_the_kernel_takes_later_is_written_again_with_what_is_wanted_by_then(tmp_path: Path) -> None:
    linux = pytest.importorskip("gogrid_desktop.system.priority.linux")
    answers = [(0, Held.NOT_YET), (0, Held.NOT_YET), (10, Held.WRITTEN)]
    asked: list[int] = []
    later: list[Callable[[], None]] = []

    class Busy:
        path, weighs = tmp_path / "autogroup", False

        def hold(self, nice: int) -> tuple[int | None, Held]:
            asked.append(nice)
            return answers[len(asked) - 1]

    nice = os.getpriority(os.PRIO_PROCESS, 0)
    priority = linux.LinuxPriority(groups=lambda: [Busy()], later=lambda _s, call: later.append(call))
    rank = priority.hold(replace(BALANCED, nice=nice, ionice_class=0))
    assert (rank.autogroup_nice, rank.needs_restart) == (0, False)
    assert rank.refused == (f"{tmp_path / 'autogroup'} cannot be written this moment; it is tried again.",)
    for call in later:
        call()
    assert asked == [nice] * 3


def test_a_weight_does_to_a_group_what_a_nice_value_does_to_a_thread() -> None:
    assert [weight_of(nice) for nice in (-20, 0, 5, 10, 15, 19)] == [8674, 100, 33, 11, 4, 1]


@pytest.mark.parametrize(
    ("rank", "words"),
    [
        (Rank(nice=15, io_class=3, io_level=0), "nice 15, disk idle"),
        (Rank(nice=0, io_class=2, io_level=4, cpu_weight=100), "nice 0, disk best effort 4, CPU weight 100"),
        (
            Rank(priority_class="idle", io_priority="very low", gpu_priority="idle", background=True),
            "priority idle, disk very low, GPU idle, background yes",
        ),
        (Rank(nice=9, refused=("No.",)), "nice 9. No."),
        (Rank(nice=9, needs_restart=True), "nice 9. A new worker takes its place when it is idle."),
        (Rank(), ""),
    ],
)
def test_a_rank_is_said_in_words(rank: Rank, words: str) -> None:
    assert rank.sentence() == words


# --- CPUs ------------------------------------------------------------------------------------------------------------


class FakeProcess:
    """A process that may run on CPUs 0 to 3, and gets no more of them than it asks for."""

    def __init__(self, *, gives: tuple[int, ...] = (0, 1, 2, 3)) -> None:
        self.cpus, self.gives = gives, gives

    def cpu_affinity(self, cpus: list[int] | None = None) -> list[int]:
        if cpus is not None:
            if not set(cpus) & set(self.gives):
                raise ValueError(f"invalid CPU {cpus[0]}")
            self.cpus = tuple(cpu for cpu in cpus if cpu in self.gives)
        return list(self.cpus)


def test_a_process_is_bound_and_its_cpus_are_read_back() -> None:
    ranker = SystemRanker(NoPriority(), ProcessAffinity(FakeProcess()), (1, 3))
    assert ranker.hold(BALANCED).cpus == (1, 3)
    assert SystemRanker(NoPriority(), ProcessAffinity(FakeProcess())).hold(BALANCED).cpus == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [((3, 9), "The system gives the CPUs 3 of 3,9."), ((9,), "The system refuses the CPUs 9: invalid CPU 9.")],
)
def test_cpus_that_cannot_be_had_are_said_with_the_rank(wanted: tuple[int, ...], sentence: str) -> None:
    ranker = SystemRanker(NoPriority(), ProcessAffinity(FakeProcess()), wanted)
    assert ranker.hold(BALANCED).refused[-1] == sentence


def test_a_system_that_binds_no_process_says_so() -> None:
    rank = SystemRanker(NoPriority(), NoAffinity(), (0,)).hold(BALANCED)
    assert rank.refused[-1] == "This system cannot bind a process to CPUs."
    assert len(rank.cpus) == os.cpu_count()


def test_this_system_has_adapters_that_answer() -> None:
    assert host.affinity().usable()
    assert host.priority().name != "none"
