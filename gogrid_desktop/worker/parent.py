"""No orphan survives its parent: the system is asked to end this process when the one that started it dies.

The end of standard input does the same on every system (`pipes.read_commands`); this holds also while the reading
thread is held up, or another process keeps the pipe open. Linux alone has it (prctl(2), PR_SET_PDEATHSIG); on Windows
the agent's job object does it, on macOS the end of the input is all there is.
"""

from __future__ import annotations

import ctypes

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SIGKILL = 9  # Windows has none by name


def die_with_parent() -> bool:
    """Ask for SIGKILL at the death of the thread that started us; False where the system has no such thing."""
    if hasattr(ctypes, "windll"):
        return False
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    return prctl is not None and int(prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)) == 0
