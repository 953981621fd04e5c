"""Transparent huge pages for the worker's own memory: what Linux gives, and how glibc is told to ask for them.

Source: kernel documentation admin-guide/mm/transhuge.rst; glibc manual, "Memory Allocation Tunables",
`glibc.malloc.hugetlb` (since 2.35; other C libraries ignore it). A file that is mapped is not concerned.
"""

from __future__ import annotations

from pathlib import Path

SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TUNABLE = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")


def mode(switch: Path = SWITCH) -> str:
    """The word in brackets: "always", "madvise" or "never"; "" where there is no such thing."""
    try:
        words = switch.read_text().split()
    except OSError:
        return ""
    return next((word.strip("[]") for word in words if word.startswith("[")), "")


def variables(switch: Path = SWITCH) -> dict[str, str]:
    """The environment of a process that asks for them; none where asking would change nothing."""
    return dict([TUNABLE]) if mode(switch) == "madvise" else {}
