"""Who keeps the display awake on macOS. Tested with faked calls; not run on real hardware.

Source: `IOPMCopyAssertionsByProcess` (IOPMLib.h). Games and calls are not known here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import psutil

from gogrid_desktop.core.attention import Attention
from gogrid_desktop.system.attention import SOMEBODY
from gogrid_desktop.system.core_foundation import CoreFoundation

FRAMEWORK = "/System/Library/Frameworks/IOKit.framework/IOKit"
#: kIOPMAssertionTypePreventUserIdleDisplaySleep and the older name of it.
_DISPLAY = ("PreventUserIdleDisplaySleep", "NoDisplaySleepAssertion")


class MacAttention:
    """`framework`: IOKit, loaded by ctypes; `pid`: ours."""

    name = "macos-assertions"

    def __init__(self, framework: Any, foundation: CoreFoundation, pid: int) -> None:
        self._copy = framework.IOPMCopyAssertionsByProcess
        self._copy.restype, self._copy.argtypes = ctypes.c_int, (ctypes.POINTER(ctypes.c_void_p),)
        self._foundation = foundation
        self._pid = pid

    def read(self) -> Attention:
        found = ctypes.c_void_p()
        if self._copy(ctypes.byref(found)) != 0:
            return Attention()
        by_process = self._foundation.take(found.value)
        if by_process is None:  # nobody asserts anything at all
            return Attention(inhibitor="")
        if not isinstance(by_process, dict):
            return Attention()
        for pid, assertions in by_process.items():
            if pid != self._pid and (held := _display_of(assertions)) is not None:
                return Attention(inhibitor=_program(pid) or held or SOMEBODY)
        return Attention(inhibitor="")

    def watch(self, changed: Callable[[], None]) -> None:
        """Nothing is told."""


def _display_of(assertions: Any) -> str | None:
    """The name of an assertion for the display that is on; None without one."""
    for each in assertions if isinstance(assertions, list) else ():
        if isinstance(each, dict) and each.get("AssertType") in _DISPLAY and each.get("AssertLevel", 255) != 0:
            return str(each.get("AssertName") or "")
    return None


def _program(pid: Any) -> str:
    try:
        return psutil.Process(pid).name() if isinstance(pid, int) else ""
    except (psutil.Error, ValueError):
        return ""
