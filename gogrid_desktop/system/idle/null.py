"""Where no source of idle time exists."""

from __future__ import annotations


class NullIdle:
    name = "none"

    def idle_s(self) -> float | None:
        return None
