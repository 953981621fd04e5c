"""Reads the machine's signals into one `Activity`. Adapters are tried in their order; unknown stays unknown."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gogrid_desktop.core.activity import Activity
from gogrid_desktop.system.idle import IdleProbe


class Sensors:
    """The first idle probe that knows something answers."""

    def __init__(self, idle_probes: Sequence[IdleProbe]) -> None:
        self._idle_probes = idle_probes

    def read(self, now: float, jobs_running: int) -> Activity:
        """`now` is seconds since the epoch; civil time is the machine's own time zone."""
        source, idle_s = "none", None
        for probe in self._idle_probes:
            idle_s = probe.idle_s()
            if idle_s is not None:
                source = probe.name
                break
        civil = time.localtime(now)
        second_of_day = civil.tm_hour * 3600 + civil.tm_min * 60 + civil.tm_sec + now % 1
        return Activity(idle_s, source, civil.tm_wday, second_of_day, jobs_running)
