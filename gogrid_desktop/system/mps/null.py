"""Where CUDA has no Multi-Process Service: everywhere but on Linux."""

from __future__ import annotations

from gogrid_desktop.system.mps import MpsAnswer


class NoMps:
    def ask(self) -> MpsAnswer:
        return MpsAnswer(problem="CUDA has its Multi-Process Service on Linux alone")

    def end_client(self, pid: int) -> bool:
        return False
