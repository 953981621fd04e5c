"""Idle time as GNOME's compositor counts it, under Wayland and X11.

Source: mutter, `src/org.gnome.Mutter.IdleMonitor.xml`: `GetIdletime` in ms; `AddUserActiveWatch` gives the number of a
watch that fires once, at the next input, as the signal `WatchFired`, to its owner alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from gogrid_desktop.core.idle import Kind
from gogrid_desktop.system.dbus import Body, Bus, Service

MONITOR = Service("org.gnome.Mutter.IdleMonitor", "/org/gnome/Mutter/IdleMonitor/Core", "org.gnome.Mutter.IdleMonitor")


class MutterIdle:
    """`bus`: the session's; it stays open."""

    name = "mutter-idle-monitor"
    kind = Kind.COUNTER
    notifies = True

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._one, self._lock = threading.Lock(), threading.Lock()
        self._listening = False
        self._heard: Callable[[], None] | None = None
        self._watches: set[int] = set()
        self._fired: set[int] = set()

    def idle_s(self) -> float | None:
        match self._bus.call(MONITOR, "GetIdletime"):
            case (int() as ms,):
                return ms / 1000.0
            case _:
                return None

    def watch_for_input(self, heard: Callable[[], None]) -> bool:
        """A compositor that was started again has forgotten its watches: there is a new one each time."""
        with self._one:
            if not self._listening:
                self._listening = True
                self._bus.listen(MONITOR, "WatchFired", self._take)
            with self._lock:
                self._heard, old = heard, self._watches
                self._fired.clear()
            match self._bus.call(MONITOR, "AddUserActiveWatch"):
                case (int() as number,):
                    pass
                case _:
                    return False
            with self._lock:
                self._watches = {number}
                missed = not self._fired.isdisjoint(self._watches | old)  # it fired before its number was known
            if missed:
                self._tell()
            for outdated in old:
                self._bus.call(MONITOR, "RemoveWatch", "u", (outdated,))
            return True

    def close(self) -> None:
        """Nobody is told any more; the watch itself goes with the connection, or fires once for nobody."""
        with self._lock:
            self._heard = None

    def _take(self, body: Body) -> None:
        """Runs in the bus's thread. An empty body: the bus was away, and the watches with it."""
        with self._lock:
            self._fired.update(body)
            ours = not body or not self._watches.isdisjoint(body)
        if ours:
            self._tell()

    def _tell(self) -> None:
        with self._lock:
            heard, self._heard = self._heard, None
            self._watches = set()
        if heard is not None:
            heard()
