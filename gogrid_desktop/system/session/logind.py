"""Sessions on Linux as systemd-logind tells them, and its delay inhibitor.

Source: org.freedesktop.login1(5). An agent that `systemd --user` started belongs to no session, so that a session is
ours by its user. Another user's at any seat is another user's: CPU and GPU are the same. Sessions that are closing are
over. While a login screen is in front, the only user who is logged in has a locked screen; whose it is among several
is unknown.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jeepney.fds import FileDescriptor

from gogrid_desktop.core.session import Session
from gogrid_desktop.system.dbus import Body, Bus, Service
from gogrid_desktop.system.session.company import alone
from gogrid_desktop.system.session.screensaver import ScreenSaver

_NAME, _PATH = "org.freedesktop.login1", "/org/freedesktop/login1"
_SESSION = f"{_NAME}.Session"
_MANAGER = Service(_NAME, _PATH, f"{_NAME}.Manager")
_PROPERTIES = "org.freedesktop.DBus.Properties"
_SCREEN_GUARDS = ("greeter", "lock-screen")
_GRAPHICAL = ("x11", "wayland", "mir")


@dataclass(frozen=True, slots=True)
class _Login:
    """A session of logind's."""

    uid: int
    kind: str  # its class
    seat: str
    active: bool
    remote: bool
    graphical: bool
    locked: bool | None

    @property
    def of_a_user(self) -> bool:
        return self.kind.startswith("user")  # "user-early", "user-light", ...


class LogindSession:
    """`uid`: whose sessions are ours. `alone`: whether nobody else can be here, asked where there is no logind."""

    name = "logind"

    def __init__(
        self, system: Bus, screen_saver: ScreenSaver, uid: int, alone: Callable[[int], bool | None] = alone
    ) -> None:
        self._bus, self._alone = system, alone
        self._screen_saver = screen_saver
        self._uid = uid
        self._one = threading.Lock()
        self._delay: FileDescriptor | None = None

    def read(self) -> Session:
        logins = self._logins()
        if logins is None:
            return Session(active=self._alone(self._uid), locked=self._screen_saver.locked())
        ours = [login for login in logins if login.of_a_user and login.uid == self._uid]
        locked = _locked(logins, ours)
        return Session(
            active=_active(logins, self._uid),
            locked=self._screen_saver.locked() if locked is None else locked,
            nobody=not any(login.of_a_user and login.seat for login in logins),
            remote=any(login.remote and login.active for login in ours),
            leaving=self._leaving(),
        )

    def watch(self, changed: Callable[[], None]) -> None:
        def heard(_: Body) -> None:
            changed()

        for signal in ("SessionNew", "SessionRemoved", "PrepareForSleep", "PrepareForShutdown"):
            self._bus.listen(_MANAGER, signal, heard)
        for interface, signals in ((_PROPERTIES, ("PropertiesChanged",)), (_SESSION, ("Lock", "Unlock"))):
            for signal in signals:
                self._bus.listen(Service(_NAME, _PATH, interface), signal, heard, below=True)
        self._screen_saver.watch(changed)

    def delay_sleep(self) -> bool:
        """At most InhibitDelayMaxSec (5 s, where logind.conf says nothing else)."""
        with self._one:
            if self._delay is None:
                asked = ("sleep:shutdown", "GoGrid", "hands its work back", "delay")
                if (answer := self._bus.call(_MANAGER, "Inhibit", "ssss", asked, returns="h")) is not None:
                    self._delay = answer[0]
                    os.set_inheritable(answer[0].fileno(), False)  # a child that held it would delay on
            return self._delay is not None

    def let_sleep(self) -> None:
        with self._one:
            if self._delay is not None:
                self._delay.close()
            self._delay = None

    def close(self) -> None:
        """The buses are closed by whoever opened them."""
        self.let_sleep()

    def _leaving(self) -> str:
        """Both are true between the two signals of that name; they do not announce their change."""
        if self._bus.get(_MANAGER, "PreparingForShutdown", "b"):
            return "shutdown"
        return "suspend" if self._bus.get(_MANAGER, "PreparingForSleep", "b") else ""

    def _logins(self) -> list[_Login] | None:
        """None: unknown, also when one of them ended while they were asked, which changes something once more."""
        listed = self._bus.call(_MANAGER, "ListSessions", returns="a(susso)")
        if listed is None:
            return None
        logins = []
        for *_, path in listed[0]:
            answer = self._bus.call(Service(_NAME, path, _PROPERTIES), "GetAll", "s", (_SESSION,), returns="a{sv}")
            if answer is None:
                return None
            try:
                if _value(answer[0], "State", "s") != "closing":
                    logins.append(_login(answer[0]))
            except (KeyError, TypeError):
                return None
        return logins


def _login(said: dict[str, tuple[str, Any]]) -> _Login:
    """Raises KeyError or TypeError for what no logind says."""
    return _Login(
        uid=_value(said, "User", "(uo)")[0],
        kind=_value(said, "Class", "s"),
        seat=_value(said, "Seat", "(so)")[0],
        active=_value(said, "Active", "b"),
        remote=_value(said, "Remote", "b"),
        graphical=_value(said, "Type", "s") in _GRAPHICAL,
        locked=_value(said, "LockedHint", "b") if "LockedHint" in said else None,
    )


def _value(said: dict[str, tuple[str, Any]], name: str, kind: str) -> Any:
    signature, value = said[name]
    if signature != kind:
        raise TypeError(f"{name} is {signature}")
    return value


def _active(logins: list[_Login], uid: int) -> bool | None:
    seated = [login for login in logins if login.seat]
    shown = [login for login in seated if login.active]
    if any(login.of_a_user and login.uid != uid for login in shown):
        return False
    if any(login.of_a_user for login in shown):
        return True
    users = {login.uid for login in seated if login.of_a_user}
    return True if users == {uid} and any(login.kind in _SCREEN_GUARDS for login in shown) else None


def _locked(logins: list[_Login], ours: list[_Login]) -> bool | None:
    """Of what is shown of ours; else of what we have at a seat, on whatever screen."""
    shown = [login for login in logins if login.seat and login.active]
    seated = [login for login in ours if login.seat]
    if seated and any(login.kind in _SCREEN_GUARDS for login in shown):
        return True
    screens = [login for login in seated if login.active] or seated or [login for login in ours if login.graphical]
    hints = [login.locked for login in screens]
    if not hints or None in hints:
        return None
    return all(hints)
