"""Whether a game asked Feral's GameMode for the system's best.

Source: the D-Bus interface of gamemoded (com.feralinteractive.GameMode in its repository).
"""

from __future__ import annotations

from collections.abc import Callable

from gogrid_desktop.system.dbus import Bus, Service

_NAME, _PATH = "com.feralinteractive.GameMode", "/com/feralinteractive/GameMode"
_GAMES = Service(_NAME, _PATH, _NAME)


class GameMode:
    def __init__(self, session: Bus) -> None:
        self._bus = session

    def read(self) -> bool | None:
        """False also while the service does not run, as a game starts it; None where it cannot be known."""
        there = self._bus.there(_NAME)
        if not there:
            return there
        games = self._bus.get(_GAMES, "ClientCount", "i")
        return None if games is None or games < 0 else games > 0

    def watch(self, changed: Callable[[], None]) -> None:
        for signal in ("GameRegistered", "GameUnregistered"):
            self._bus.listen(_GAMES, signal, lambda _: changed())
        properties = Service(_NAME, _PATH, "org.freedesktop.DBus.Properties")
        self._bus.listen(properties, "PropertiesChanged", lambda _: changed())
