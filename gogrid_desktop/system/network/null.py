"""Where it is unknown what the network costs: Windows tells it through COM alone (INetworkCostManager), macOS never."""

from __future__ import annotations

from collections.abc import Callable


class NullNetwork:
    name = "none"

    def metered(self) -> bool | None:
        return None

    def watch(self, changed: Callable[[], None]) -> None:
        """Nothing ever changes."""
