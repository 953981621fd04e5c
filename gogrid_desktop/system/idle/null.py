"""Where no source of idle time exists."""

from __future__ import annotations

from gogrid_desktop.core.idle import Kind
from gogrid_desktop.system.idle import Asked


class NullIdle(Asked):
    name = "none"
    kind = Kind.COUNTER

    def idle_s(self) -> float | None:
        return None
