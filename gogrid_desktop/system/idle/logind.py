"""Whether the desktop has declared our session idle: logind's IdleHint, set minutes after the last input, if at all.

Source: org.freedesktop.login1(5): `IdleHint`, `IdleSinceHintMonotonic` (us of CLOCK_MONOTONIC) of a session. The one
that is meant is the user's graphical session; a service of the user or a login from afar belongs to another or to none.
"""

from __future__ import annotations

import os
import time

from gogrid_desktop.core.idle import Kind
from gogrid_desktop.system.bounded import Bounded
from gogrid_desktop.system.dbus import Bus, Service
from gogrid_desktop.system.idle import Asked

_NAME = "org.freedesktop.login1"
_SESSION = "org.freedesktop.login1.Session"
_LIMIT_S = 1.0
MANAGER = Service(_NAME, "/org/freedesktop/login1", "org.freedesktop.login1.Manager")


class LogindIdle(Asked):
    """`bus`: the system's; it stays open. `uid`: the user's."""

    name = "logind-idle-hint"
    kind = Kind.HINT

    def __init__(self, bus: Bus, uid: int) -> None:
        self._bus, self._uid = bus, uid
        self._bounded = Bounded(self.name, _LIMIT_S)
        self._session: Service | None = None

    def idle_s(self) -> float | None:
        """Seconds since the session was declared idle; 0: it is not."""
        try:
            return self._bounded.call(self._read)
        except TimeoutError:
            return None

    def _read(self) -> float | None:
        self._session = self._session or self._find()
        if self._session is None:
            return None
        match self._bus.get(self._session, "IdleHint"), self._bus.get(self._session, "IdleSinceHintMonotonic"):
            case False, _:
                return 0.0
            case True, int() as since_us if since_us > 0:
                return max(0.0, time.monotonic() - since_us / 1e6)
            case _:
                self._session = None  # it may have ended: the next one is looked for
                return None

    def _find(self) -> Service | None:
        match self._bus.call(MANAGER, "GetUser", "u", (self._uid,)):
            case (str() as user,):
                match self._bus.get(Service(_NAME, user, "org.freedesktop.login1.User"), "Display"):
                    case (str() as name, str() as path) if name:
                        return Service(_NAME, path, _SESSION)
        named = os.environ.get("XDG_SESSION_ID")
        asked = ("GetSession", "s", (named,)) if named else ("GetSessionByPID", "u", (os.getpid(),))
        match self._bus.call(MANAGER, *asked):
            case (str() as path,):
                return Service(_NAME, path, _SESSION)
        return None
