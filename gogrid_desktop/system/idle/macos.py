"""Idle time of a macOS session: `CGEventSourceSecondsSinceLastEventType` (CGEventSource.h, Quartz Event Services).

It is polled: hearing of input (an event tap) needs the right to read what is typed, which nobody should have to grant.
Tested with faked calls; not run on real hardware.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

from gogrid_desktop.core.idle import Kind
from gogrid_desktop.system.idle import Asked

FRAMEWORK = "/System/Library/Frameworks/CoreGraphics.framework/CoreGraphics"
#: kCGEventSourceStateCombinedSessionState: input of this session, also through screen sharing.
_COMBINED_SESSION = 0
#: kCGAnyInputEventType
_ANY_INPUT = 0xFFFFFFFF


class MacIdle(Asked):
    """`framework`: CoreGraphics, loaded by ctypes."""

    name = "macos-event-source"
    kind = Kind.COUNTER

    def __init__(self, framework: Any) -> None:
        self._since = framework.CGEventSourceSecondsSinceLastEventType
        self._since.argtypes = (ctypes.c_int32, ctypes.c_uint32)
        self._since.restype = ctypes.c_double

    def idle_s(self) -> float | None:
        idle_s = float(self._since(_COMBINED_SESSION, _ANY_INPUT))
        return idle_s if math.isfinite(idle_s) and idle_s >= 0 else None
