"""Who keeps the screen from going dark on Linux, as GNOME's session, Plasma's power management and logind tell.

Source: org.gnome.SessionManager.xml of gnome-session (which MATE and Cinnamon follow),
org.kde.Solid.PowerManagement.PolicyAgent.xml of powerdevil, org.freedesktop.login1(5). A film that asks neither, but
calls XScreenSaverSuspend of an X server, cannot be seen.
"""

from __future__ import annotations

from collections.abc import Callable

from gogrid_desktop.system.attention import SOMEBODY
from gogrid_desktop.system.dbus import Body, Bus, Service

_GNOME = Service("org.gnome.SessionManager", "/org/gnome/SessionManager", "org.gnome.SessionManager")
_GNOME_IDLE = 8
_KDE_NAME, _KDE_PATH = "org.kde.Solid.PowerManagement.PolicyAgent", "/org/kde/Solid/PowerManagement/PolicyAgent"
_KDE = Service(_KDE_NAME, _KDE_PATH, _KDE_NAME)
_KDE_SCREEN = 4
_LOGIND = Service("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
_PROPERTIES = "org.freedesktop.DBus.Properties"


class Inhibitors:
    """`pid`: ours; what this process itself holds does not count."""

    def __init__(self, session: Bus, system: Bus, pid: int) -> None:
        self._session = session
        self._system = system
        self._pid = pid

    def read(self) -> str | None:
        """A name; "" where nobody holds it; None where no service is there, or one of them does not answer."""
        answers = []
        for bus, service, ask in (
            (self._session, _GNOME, self._gnome),
            (self._session, _KDE, self._kde),
            (self._system, _LOGIND, self._logind),
        ):
            there = bus.there(service.name)
            if there is not False:
                answers.append(ask() if there else None)
        if held := [who for who in answers if who]:
            return held[0]
        return None if None in answers or not answers else ""

    def watch(self, changed: Callable[[], None]) -> None:
        def heard(_: Body) -> None:
            changed()

        for signal in ("InhibitorAdded", "InhibitorRemoved"):
            self._session.listen(_GNOME, signal, heard)
        self._session.listen(_KDE, "InhibitionsChanged", heard)
        for bus, service in ((self._session, _KDE), (self._system, _LOGIND)):  # logind: BlockInhibited
            bus.listen(Service(service.name, service.path, _PROPERTIES), "PropertiesChanged", heard)

    def _gnome(self) -> str | None:
        held = self._session.call(_GNOME, "IsInhibited", "u", (_GNOME_IDLE,), returns="b")
        if held is None or not held[0]:
            return None if held is None else ""
        listed = self._session.call(_GNOME, "GetInhibitors", returns="ao")
        for path in listed[0] if listed else ():
            inhibitor = Service(_GNOME.name, path, f"{_GNOME.interface}.Inhibitor")
            flags = self._session.call(inhibitor, "GetFlags", returns="u")
            if flags and flags[0] & _GNOME_IDLE:
                named = self._session.call(inhibitor, "GetAppId", returns="s")
                return named[0] if named and named[0] else SOMEBODY
        return SOMEBODY

    def _kde(self) -> str | None:
        held = self._session.call(_KDE, "HasInhibition", "u", (_KDE_SCREEN,), returns="b")
        if held is None or not held[0]:
            return None if held is None else ""
        for what, who, *_ in self._session.get(_KDE, "ActiveInhibitions", "a(ssssu)") or ():
            if "idle" in what.split(":"):
                return who or SOMEBODY
        return _first_of_pairs(self._session.call(_KDE, "ListInhibitions"))

    def _logind(self) -> str | None:
        listed = self._system.call(_LOGIND, "ListInhibitors", returns="a(ssssuu)")
        if listed is None:
            return None
        for what, who, _, mode, _, pid in listed[0]:
            if "idle" in what.split(":") and mode.startswith("block") and pid != self._pid:
                return who or SOMEBODY
        return ""


def _first_of_pairs(answer: Body | None) -> str:
    """Of who and why: declared as a dictionary, sent as a list of structures by older versions, of lists by newer."""
    pairs = answer[0] if answer else ()
    if isinstance(pairs, dict):
        pairs = list(pairs.items())
    if isinstance(pairs, list):
        for pair in pairs:
            if isinstance(pair, tuple | list) and pair and isinstance(pair[0], str) and pair[0]:
                return pair[0]
    return SOMEBODY
