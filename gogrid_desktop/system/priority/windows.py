"""The rank of a Windows process: priority class, I/O priority, EcoQoS and its place in the GPU scheduler.

Sources (learn.microsoft.com): SetPriorityClass; NtSetInformationProcess with ProcessIoPriority (both through psutil);
SetProcessInformation with ProcessPowerThrottling (processthreadsapi.h), which is EcoQoS; d3dkmthk.h,
D3DKMTSetProcessSchedulingPriorityClass. PROCESS_MODE_BACKGROUND_BEGIN is not used: it also trims the working set to
some 32 MiB, and a model is larger. Every class up to normal may be taken back. Tested with faked calls; not run on real
hardware.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import psutil

from gogrid_desktop.core.profiles import Limits
from gogrid_desktop.core.rank import DiskStep, Rank, Step, disk_step_of, step_of

#: winbase.h: NORMAL_, BELOW_NORMAL_ and IDLE_PRIORITY_CLASS.
CLASSES = {Step.NORMAL: 0x20, Step.BELOW_NORMAL: 0x4000, Step.IDLE: 0x40}
#: wdm.h, IO_PRIORITY_HINT.
IO_PRIORITIES = {DiskStep.NORMAL: 2, DiskStep.LOW: 1, DiskStep.VERY_LOW: 0}
#: d3dkmthk.h, D3DKMT_SCHEDULINGPRIORITYCLASS.
GPU_CLASSES = {Step.NORMAL: 2, Step.BELOW_NORMAL: 1, Step.IDLE: 0}
#: processthreadsapi.h, PROCESS_INFORMATION_CLASS.
_POWER_THROTTLING = 4
_EXECUTION_SPEED = 1


class PowerThrottling(ctypes.Structure):
    """PROCESS_POWER_THROTTLING_STATE."""

    _fields_ = (("Version", ctypes.c_uint32), ("ControlMask", ctypes.c_uint32), ("StateMask", ctypes.c_uint32))


class WindowsPriority:
    """`windll`: the loaded system libraries, `ctypes.windll` there. `process`: this one, as psutil has it."""

    name = "windows"

    def __init__(self, windll: Any, process: Any = None) -> None:
        self._windll = windll
        self._process: Any = process or psutil.Process()
        windll.kernel32.GetCurrentProcess.restype = ctypes.c_void_p

    def hold(self, limits: Limits) -> Rank:
        step, disk = step_of(limits.nice), disk_step_of(limits)
        refused: list[str] = []
        return Rank(
            priority_class=self._held(self._process.nice, CLASSES, step, "priority class", refused),
            io_priority=self._held(self._process.ionice, IO_PRIORITIES, disk, "I/O priority", refused),
            gpu_priority=self._gpu(step, refused),
            background=self._eco(step is Step.IDLE, refused),
            refused=tuple(refused),
        )

    @staticmethod
    def _held(
        call: Callable[..., Any], numbers: dict[Any, int], wanted: Step | DiskStep, what: str, refused: list[str]
    ) -> str:
        """Set one of psutil's values; returns in words what is read back."""
        try:
            call(numbers[wanted])
        except (psutil.Error, OSError) as error:
            refused.append(f"Windows refuses the {what} {wanted.value}: {error}.")
        try:
            number = int(call())
        except (psutil.Error, OSError):
            return ""
        return next((str(step.value) for step, value in numbers.items() if value == number), f"{what} {number:#x}")

    def _gpu(self, step: Step, refused: list[str]) -> str:
        """The class in the GPU's scheduler; "" where the graphics kernel does not answer."""
        gdi = self._windll.gdi32
        own = ctypes.c_void_p(self._windll.kernel32.GetCurrentProcess())
        status = int(gdi.D3DKMTSetProcessSchedulingPriorityClass(own, GPU_CLASSES[step]))
        if status:
            refused.append(f"Windows refuses the GPU priority {step.value} (NTSTATUS {status & 0xFFFFFFFF:#010x}).")
        number = ctypes.c_int(-1)
        if gdi.D3DKMTGetProcessSchedulingPriorityClass(own, ctypes.byref(number)):
            return ""
        return next((each.value for each, value in GPU_CLASSES.items() if value == number.value), f"{number.value}")

    def _eco(self, wanted: bool, refused: list[str]) -> bool | None:
        """EcoQoS on or off; None where this Windows does not say (it does since Windows 11)."""
        kernel = self._windll.kernel32
        own = ctypes.c_void_p(kernel.GetCurrentProcess())
        state = PowerThrottling(1, _EXECUTION_SPEED, _EXECUTION_SPEED if wanted else 0)
        size = ctypes.sizeof(state)
        if not kernel.SetProcessInformation(own, _POWER_THROTTLING, ctypes.byref(state), size):
            refused.append("Windows refuses EcoQoS (it has it since Windows 10, version 1709).")
        held = PowerThrottling(1, 0, 0)
        if not kernel.GetProcessInformation(own, _POWER_THROTTLING, ctypes.byref(held), size):
            return None
        return bool(held.StateMask & _EXECUTION_SPEED)
