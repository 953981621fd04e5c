"""Where nothing is known of power."""

from __future__ import annotations

from gogrid_desktop.core.power import Power


class NullPower:
    name = "none"

    def read(self) -> Power:
        return Power(None)
