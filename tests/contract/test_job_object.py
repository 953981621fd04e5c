"""The Windows job object that ends workers with their agent, with the system's calls played."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from gogrid_desktop.system import job


class Call:
    restype: Any = None

    def __init__(self, answer: int, seen: list[tuple[Any, ...]]) -> None:
        self._answer, self._seen = answer, seen

    def __call__(self, *arguments: Any) -> int:
        self._seen.append(arguments)
        return self._answer


class Kernel32:
    def __init__(self, job: int = 7, set_answer: int = 1, assign_answer: int = 1) -> None:
        self.set: list[tuple[Any, ...]] = []
        self.assigned: list[tuple[Any, ...]] = []
        self.CreateJobObjectW = Call(job, [])
        self.GetCurrentProcess = Call(2**64 - 1, [])
        self.SetInformationJobObject = Call(set_answer, self.set)
        self.AssignProcessToJobObject = Call(assign_answer, self.assigned)


def test_this_process_joins_a_job_that_ends_all_of_it_with_its_last_handle() -> None:
    kernel32 = Kernel32()
    assert job.end_children_with_us(kernel32)
    ((handle, kind, limits, size),) = kernel32.set
    assert (handle.value, kind, size) == (7, 9, ctypes.sizeof(job.ExtendedLimits))
    assert limits._obj.basic.flags == 0x2000
    ((handle, process),) = kernel32.assigned
    assert (handle.value, process.value) == (7, 2**64 - 1)


def test_the_structure_has_the_size_that_the_system_expects() -> None:
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        pytest.skip("the size is that of a 64-bit system")
    assert (ctypes.sizeof(job.BasicLimits), ctypes.sizeof(job.ExtendedLimits)) == (64, 144)


@pytest.mark.parametrize("refused", [{"job": 0}, {"set_answer": 0}, {"assign_answer": 0}])
def test_where_the_system_refuses_it_is_said(refused: dict[str, int], caplog: pytest.LogCaptureFixture) -> None:
    assert not job.end_children_with_us(Kernel32(**refused))
    assert "outlive" in caplog.text
