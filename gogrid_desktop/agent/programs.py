"""Which of some programs run: asked only where the person has a rule about a program."""

from __future__ import annotations

import psutil


def running(wanted: frozenset[str]) -> frozenset[str]:
    """Those of `wanted` (executables, in lower case) that run, with or without Windows' ending."""
    if not wanted:
        return frozenset()
    names = {(process.info["name"] or "").lower() for process in psutil.process_iter(["name"])}
    return frozenset(one for one in wanted if one in names or f"{one}.exe" in names)
