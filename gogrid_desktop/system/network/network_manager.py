"""Whether NetworkManager takes the connection in use for metered.

Source: org.freedesktop.NetworkManager of its D-Bus reference, `Metered` (NMMetered); where nobody told it, it
guesses, as for a telephone that gives its connection on.
"""

from __future__ import annotations

from collections.abc import Callable

from gogrid_desktop.system.dbus import Bus, Service

_NAME, _PATH = "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager"
_MANAGER = Service(_NAME, _PATH, _NAME)
#: NM_METERED_YES, _NO, _GUESS_YES, _GUESS_NO; 0 is unknown.
_METERED = {1: True, 2: False, 3: True, 4: False}


class NetworkManager:
    name = "network-manager"

    def __init__(self, system: Bus) -> None:
        self._bus = system

    def metered(self) -> bool | None:
        return _METERED.get(self._bus.get(_MANAGER, "Metered", "u"))

    def watch(self, changed: Callable[[], None]) -> None:
        properties = Service(_NAME, _PATH, "org.freedesktop.DBus.Properties")
        self._bus.listen(properties, "PropertiesChanged", lambda _: changed())
