"""Idle time as the desktop's screen locker tells it: `org.freedesktop.ScreenSaver.GetSessionIdleTime`.

Source: kscreenlocker, `dbus/org.freedesktop.ScreenSaver.xml` and `interface.cpp`: ms, as KIdleTime counts them; the
freedesktop.org draft that the name comes from leaves the unit open, and others answer in seconds. Read as ms those grow
a thousand times too slowly, which can only keep the machine in use, and are dropped as standing still. It never counts
under Wayland, where KDE answers 0 or refuses. It cannot tell of input.
"""

from __future__ import annotations

from gogrid_desktop.core.idle import Kind
from gogrid_desktop.system.dbus import Bus, Service
from gogrid_desktop.system.idle import Asked
from gogrid_desktop.system.x11 import wayland_session

SCREEN_SAVER = Service("org.freedesktop.ScreenSaver", "/org/freedesktop/ScreenSaver", "org.freedesktop.ScreenSaver")


class ScreenSaverIdle(Asked):
    """`bus`: the session's; it stays open."""

    name = "screensaver-service"
    kind = Kind.COUNTER

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def idle_s(self) -> float | None:
        if wayland_session():
            return None
        match self._bus.call(SCREEN_SAVER, "GetSessionIdleTime"):
            case (int() as ms,):
                return ms / 1000.0
            case _:
                return None
