"""Which CPUs this process may run on. One file per kind of system."""

from __future__ import annotations

from typing import Protocol


class Affinity(Protocol):
    def usable(self) -> tuple[int, ...]:
        """The CPUs that this process may run on now."""
        ...

    def bind(self, cpus: tuple[int, ...]) -> str:
        """Run on these alone, with all threads made from now on; returns a sentence that says why not, "" if so."""
        ...
