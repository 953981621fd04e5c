"""Where a process cannot be bound to CPUs: macOS has no such call."""

from __future__ import annotations

import os


class NoAffinity:
    def usable(self) -> tuple[int, ...]:
        return tuple(range(os.cpu_count() or 1))

    def bind(self, cpus: tuple[int, ...]) -> str:
        return "This system cannot bind a process to CPUs."
