"""Whether the screen is locked, where no session manager of the system says so: the desktop's screen saver.

Source: the Idle Inhibition Service draft of freedesktop.org (`org.freedesktop.ScreenSaver`), which KDE, Xfce and MATE
follow, and GNOME's service of the same shape. A saver that shows itself without locking cannot be told from a lock.
"""

from __future__ import annotations

from collections.abc import Callable

from gogrid_desktop.system.dbus import Bus, Service

_SAVERS = (
    Service("org.gnome.ScreenSaver", "/org/gnome/ScreenSaver", "org.gnome.ScreenSaver"),
    Service("org.freedesktop.ScreenSaver", "/org/freedesktop/ScreenSaver", "org.freedesktop.ScreenSaver"),
)


class ScreenSaver:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def locked(self) -> bool | None:
        """None: no screen saver answers."""
        for saver in _SAVERS:
            if (answer := self._bus.call(saver, "GetActive", returns="b")) is not None:
                return bool(answer[0])
        return None

    def watch(self, changed: Callable[[], None]) -> None:
        for saver in _SAVERS:
            self._bus.listen(saver, "ActiveChanged", lambda _: changed())
