"""Whose session the screen shows: logind as python-dbusmock plays it, the others against faked calls."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fixtures_core_foundation import FakeFoundation, Function
from fixtures_dbus import Mock, PrivateBus, bus, eventually, needs_bus, no_bus

from gogrid_desktop.core.session import Session
from gogrid_desktop.system import dbus, host
from gogrid_desktop.system.dbus import Bus
from gogrid_desktop.system.session import SessionProbe, company
from gogrid_desktop.system.session.logind import LogindSession
from gogrid_desktop.system.session.macos import MacSession
from gogrid_desktop.system.session.null import NullSession
from gogrid_desktop.system.session.screensaver import ScreenSaver
from gogrid_desktop.system.session.windows import SubscribeParameters, WindowsSession, WtsInfoEx, WtsInfoExLevel1

__all__ = ["bus", "no_bus"]

NAME, PATH, MANAGER = "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"
SESSION, PROPERTIES = "org.freedesktop.login1.Session", "org.freedesktop.DBus.Properties"
OURS, OTHER, GREETER = 1000, 1001, 116


class Logind:
    """logind with sessions that this test opens and changes."""

    def __init__(self, bus: PrivateBus) -> None:
        self._bus = bus
        self.mock: Mock = bus.template("logind", NAME, PATH, MANAGER)

    def login(self, name: str, uid: int, *, seat: str = "seat0", active: bool = True, **said: tuple[str, Any]) -> None:
        self.mock.control("AddSession", "ssusb", name, seat or "seat0", uid, f"user{uid}", active)
        if not seat:  # the mock knows sessions at seats alone
            nowhere = ("(so)", ("", "/"))
            self._bus.peer.ask(NAME, f"{PATH}/session/{name}", PROPERTIES, "Set", "ssv", SESSION, "Seat", nowhere)
        self.change(name, **{"Type": ("s", "x11"), **said})

    def change(self, name: str, **said: tuple[str, Any]) -> None:
        self.mock.update(f"{PATH}/session/{name}", SESSION, **said)

    def inhibitors(self) -> list[tuple[Any, ...]]:
        return list(self._bus.peer.ask(NAME, PATH, MANAGER, "ListInhibitors"))


@pytest.fixture
def logind(bus: PrivateBus) -> Logind:
    return Logind(bus)


@pytest.fixture
def probe() -> Iterator[LogindSession]:
    system, desktop = Bus("SYSTEM"), Bus("SESSION")
    it = LogindSession(system, ScreenSaver(desktop), OURS, alone=lambda _: None)
    yield it
    it.close()
    system.close()
    desktop.close()
    assert eventually(lambda: not any(thread.name.startswith("dbus") for thread in threading.enumerate()))


HERE = Session(active=True, locked=False, nobody=False, remote=False)


@needs_bus
class TestLogind:
    def test_our_session_is_shown(self, logind: Logind, probe: LogindSession) -> None:
        logind.login("1", OURS)
        assert probe.read() == HERE

    def test_another_users_session_is_shown(self, logind: Logind, probe: LogindSession) -> None:
        logind.login("1", OURS, active=False, LockedHint=("b", True))
        logind.login("2", OTHER)
        assert probe.read() == Session(active=False, locked=True, nobody=False, remote=False)

    def test_another_user_at_another_seat_uses_this_computer_too(self, logind: Logind, probe: LogindSession) -> None:
        logind.login("1", OURS)
        logind.login("2", OTHER, seat="seat1")
        assert probe.read().active is False

    def test_another_user_in_the_background_changes_nothing(self, logind: Logind, probe: LogindSession) -> None:
        logind.login("1", OURS)
        logind.login("2", OTHER, active=False)
        assert probe.read() == HERE

    def test_another_user_from_afar_is_not_at_the_screen(self, logind: Logind, probe: LogindSession) -> None:
        logind.login("1", OURS)
        logind.login("2", OTHER, seat="", Remote=("b", True))
        assert probe.read() == HERE

    def test_a_locked_screen_is_told(self, logind: Logind, probe: LogindSession) -> None:
        logind.login("1", OURS)
        logind.change("1", LockedHint=("b", True))
        assert probe.read() == Session(active=True, locked=True, nobody=False, remote=False)

    def test_what_is_shown_of_ours_decides_whether_it_is_locked(self, logind: Logind, probe: LogindSession) -> None:
        logind.login("1", OURS, active=False, LockedHint=("b", True))
        logind.login("2", OURS, Type=("s", "tty"))
        assert probe.read().locked is False

    def test_a_login_screen_with_nobody_behind_it_is_nobody(self, logind: Logind, probe: LogindSession) -> None:
        logind.login("c1", GREETER, Class=("s", "greeter"))
        assert probe.read() == Session(active=None, locked=None, nobody=True, remote=False)

    def test_a_login_screen_before_our_session_is_a_locked_screen(self, logind: Logind, probe: LogindSession) -> None:
        logind.login("1", OURS, active=False)
        logind.login("c1", GREETER, Class=("s", "greeter"))
        assert probe.read() == Session(active=True, locked=True, nobody=False, remote=False)

    def test_a_login_screen_before_several_users_is_nobodys_in_particular(
        self, logind: Logind, probe: LogindSession
    ) -> None:
        logind.login("1", OURS, active=False)
        logind.login("2", OTHER, active=False)
        logind.login("c1", GREETER, Class=("s", "greeter"))
        assert probe.read().active is None

    def test_a_text_console_without_a_login_is_unknown(self, logind: Logind, probe: LogindSession) -> None:
        logind.login("1", OURS, active=False)
        assert probe.read() == Session(active=None, locked=False, nobody=False, remote=False)

    def test_nobody_is_logged_in_at_all(self, logind: Logind, probe: LogindSession) -> None:
        assert probe.read() == Session(active=None, locked=None, nobody=True, remote=False)

    def test_the_service_of_a_user_who_lingers_is_nobody(self, logind: Logind, probe: LogindSession) -> None:
        logind.login("1", OURS, seat="", Class=("s", "manager"))
        assert probe.read() == Session(active=None, locked=None, nobody=True, remote=False)

    def test_we_are_here_from_afar(self, logind: Logind, probe: LogindSession) -> None:
        logind.login("1", OURS, seat="", Remote=("b", True), Type=("s", "tty"))
        assert probe.read() == Session(active=None, locked=None, nobody=True, remote=True)

    def test_a_session_that_is_closing_is_over(self, logind: Logind, probe: LogindSession) -> None:
        logind.login("1", OURS, seat="", Remote=("b", True), State=("s", "closing"))
        logind.login("2", OTHER, State=("s", "closing"))
        assert probe.read() == Session(active=None, locked=None, nobody=True, remote=False)

    @pytest.mark.parametrize(("announced", "leaving"), [("Sleep", "suspend"), ("Shutdown", "shutdown")])
    def test_what_the_system_announces_is_told(
        self, announced: str, leaving: str, logind: Logind, probe: LogindSession
    ) -> None:
        logind.login("1", OURS)
        logind.mock.update(**{f"PreparingFor{announced}": ("b", True)})
        assert probe.read() == Session(active=True, locked=False, nobody=False, remote=False, leaving=leaving)
        logind.mock.update(**{f"PreparingFor{announced}": ("b", False)})
        assert probe.read() == HERE

    @pytest.mark.parametrize("lie", [{"Active": ("s", "yes")}, {"User": ("u", OURS)}, {"Class": ("b", True)}])
    def test_what_makes_no_sense_is_unknown(
        self, lie: dict[str, tuple[str, Any]], logind: Logind, probe: LogindSession
    ) -> None:
        logind.login("1", OURS, **lie)
        assert probe.read() == Session()

    def test_a_list_that_makes_no_sense_is_unknown(self, bus: PrivateBus, probe: LogindSession) -> None:
        bus.mock(NAME, PATH, MANAGER).method("ListSessions", "", "as", "ret = ['1', '2']")
        assert probe.read() == Session()

    def test_a_session_that_cannot_be_asked_is_unknown(self, bus: PrivateBus, probe: LogindSession) -> None:
        listed = "ret = [('1', 1000, 'user', 'seat0', '/org/freedesktop/login1/session/_31')]"
        bus.mock(NAME, PATH, MANAGER).method("ListSessions", "", "a(susso)", listed)
        assert probe.read() == Session()

    def test_logind_that_hangs_is_unknown(
        self, bus: PrivateBus, probe: LogindSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dbus, "LIMIT_S", 0.2)
        bus.mock(NAME, PATH, MANAGER).method("ListSessions", "", "a(susso)", "time.sleep(60)")
        assert probe.read() == Session()
        monkeypatch.setattr(dbus, "LIMIT_S", 3600.0)
        assert probe.read() == Session()
        assert not probe.delay_sleep()

    def test_logind_that_went_away_and_came_back_is_read_again(
        self, bus: PrivateBus, logind: Logind, probe: LogindSession
    ) -> None:
        changed = threading.Event()
        probe.watch(changed.set)
        logind.login("1", OURS)
        assert probe.read() == HERE
        logind.mock.end()
        assert eventually(lambda: probe.read() == Session())
        changed.clear()
        Logind(bus)
        assert changed.wait(20.0)
        assert eventually(lambda: probe.read().nobody is True)


@needs_bus
class TestWatching:
    @pytest.fixture
    def changed(self, logind: Logind, probe: LogindSession) -> threading.Event:
        """Set by what happens after it was asked for."""
        logind.login("1", OURS)
        it = threading.Event()
        probe.watch(it.set)
        assert probe.read() == HERE
        return it

    def test_a_lock_is_told_at_once(self, logind: Logind, probe: LogindSession, changed: threading.Event) -> None:
        changed.clear()
        logind.change("1", LockedHint=("b", True))
        assert changed.wait(20.0)
        assert probe.read().locked is True

    def test_a_switch_of_users_is_told_at_once(
        self, logind: Logind, probe: LogindSession, changed: threading.Event
    ) -> None:
        logind.login("2", OTHER, active=False)
        assert probe.read() == HERE
        changed.clear()
        logind.change("1", Active=("b", False))
        logind.change("2", Active=("b", True))
        assert changed.wait(20.0)
        assert eventually(lambda: probe.read().active is False)

    @pytest.mark.parametrize("signal", ["SessionNew", "SessionRemoved"])
    def test_who_comes_and_goes_is_told(self, signal: str, logind: Logind, changed: threading.Event) -> None:
        changed.clear()
        logind.mock.emit(signal, "so", ("s", "2"), ("o", f"{PATH}/session/2"))
        assert changed.wait(20.0)

    @pytest.mark.parametrize("signal", ["Lock", "Unlock"])
    def test_a_request_to_lock_is_told(
        self, signal: str, bus: PrivateBus, logind: Logind, changed: threading.Event
    ) -> None:
        changed.clear()
        bus.peer.ask(NAME, f"{PATH}/session/1", SESSION, signal)
        assert changed.wait(20.0)

    @pytest.mark.parametrize("signal", ["PrepareForSleep", "PrepareForShutdown"])
    def test_a_sleep_is_told_at_once(self, signal: str, logind: Logind, changed: threading.Event) -> None:
        changed.clear()
        logind.mock.emit(signal, "b", ("b", True))
        assert changed.wait(20.0)


@needs_bus
class TestDelay:
    def test_the_system_waits_for_us_while_we_ask_it_to(self, logind: Logind, probe: LogindSession) -> None:
        assert probe.delay_sleep()
        assert probe.delay_sleep()
        (held,) = logind.inhibitors()
        assert held[:4] == ("sleep:shutdown", "GoGrid", "hands its work back", "delay")
        probe.let_sleep()
        assert eventually(lambda: logind.inhibitors() == [])
        probe.let_sleep()

    def test_it_waits_anew_after_a_sleep(self, logind: Logind, probe: LogindSession) -> None:
        for _ in range(2):
            assert probe.delay_sleep()
            assert len(logind.inhibitors()) == 1
            probe.let_sleep()
            assert eventually(lambda: logind.inhibitors() == [])

    def test_closing_lets_it_sleep(self, logind: Logind, probe: LogindSession) -> None:
        assert probe.delay_sleep()
        probe.close()
        assert eventually(lambda: logind.inhibitors() == [])

    def test_nothing_waits_where_there_is_no_logind(self, bus: PrivateBus, probe: LogindSession) -> None:
        assert not probe.delay_sleep()
        probe.let_sleep()


@needs_bus
class TestScreenSaver:
    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("org.gnome.ScreenSaver", "/org/gnome/ScreenSaver"),
            ("org.freedesktop.ScreenSaver", "/org/freedesktop/ScreenSaver"),
        ],
    )
    def test_without_logind_the_screen_saver_tells_a_lock(
        self, name: str, path: str, bus: PrivateBus, probe: LogindSession
    ) -> None:
        changed = threading.Event()
        probe.watch(changed.set)
        saver = bus.mock(name, path, name)
        saver.method("GetActive", "", "b", "ret = getattr(self, 'shown', False)")
        saver.method("Show", "", "", "self.shown = True; self.EmitSignal('', 'ActiveChanged', 'b', [True])")
        assert probe.read() == Session(locked=False)
        changed.clear()
        bus.peer.ask(name, path, name, "Show")
        assert changed.wait(20.0)
        assert probe.read() == Session(locked=True)

    def test_logind_knows_better(self, bus: PrivateBus, logind: Logind, probe: LogindSession) -> None:
        bus.mock("org.gnome.ScreenSaver", "/org/gnome/ScreenSaver", "org.gnome.ScreenSaver").method(
            "GetActive", "", "b", "ret = True"
        )
        logind.login("1", OURS)
        assert probe.read() == HERE


ROUTINE = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)


class Windows:
    """The system's libraries, with one session that is ours and perhaps another's at the console."""

    def __init__(self, *, state: int = 0, flags: int = 1, user: str | None = None, remote: bool = False) -> None:
        self.info = WtsInfoEx(Level=1, Data=WtsInfoExLevel1(SessionId=2, SessionState=state, SessionFlags=flags))
        self.user = user
        self.buffers: dict[int, Any] = {}
        self.subscribed: SubscribeParameters | None = None
        self.answers = True

        class Console:
            restype: object = ctypes.c_int

            def __call__(self) -> int:
                assert self.restype is ctypes.c_uint32
                return 0xFFFFFFFF if user is None else 3

        self.windll = SimpleNamespace(
            kernel32=SimpleNamespace(WTSGetActiveConsoleSessionId=Console()),
            user32=SimpleNamespace(GetSystemMetrics=lambda which: int(remote) if which == 0x1000 else 1),
            wtsapi32=SimpleNamespace(WTSQuerySessionInformationW=self.query, WTSFreeMemory=self.free),
            powrprof=SimpleNamespace(
                PowerRegisterSuspendResumeNotification=self.register,
                PowerUnregisterSuspendResumeNotification=self.unregister,
            ),
        )
        self.probe = WindowsSession(self.windll, ctypes.CFUNCTYPE)

    def query(self, server: None, session: ctypes.c_uint32, what: int, buffer: Any, size: Any) -> int:
        assert isinstance(buffer._obj, ctypes.c_void_p)
        assert isinstance(size._obj, ctypes.c_uint32)
        if not self.answers:
            return 0
        if what == 25:
            assert session.value == 0xFFFFFFFF
            answer = bytes(self.info)
        else:
            assert (what, session.value) == (5, 3)
            answer = f"{self.user}\0".encode("utf-16-le")
        kept = ctypes.create_string_buffer(answer, len(answer))
        buffer._obj.value, size._obj.value = ctypes.addressof(kept), len(answer)
        self.buffers[ctypes.addressof(kept)] = kept
        return 1

    def free(self, buffer: ctypes.c_void_p) -> None:
        assert buffer.value is not None
        del self.buffers[buffer.value]

    def register(self, flags: int, parameters: Any, handle: Any) -> int:
        if not self.answers:
            return 87
        assert flags == 2
        assert isinstance(handle._obj, ctypes.c_void_p)
        self.subscribed = parameters._obj
        handle._obj.value = 2**40 + 1
        return 0

    def unregister(self, handle: ctypes.c_void_p) -> int:
        assert handle.value == 2**40 + 1
        self.subscribed = None
        return 0

    def tell(self, event: int) -> None:
        """As the system does, in a thread of its own."""
        assert self.subscribed is not None
        assert ROUTINE(self.subscribed.Callback)(None, event, None) == 0


class TestWindows:
    def test_the_structures_are_as_wide_as_the_systems(self) -> None:
        assert (ctypes.sizeof(WtsInfoExLevel1), ctypes.sizeof(WtsInfoEx), WtsInfoEx.Data.offset) == (224, 232, 8)
        assert (WtsInfoExLevel1.SessionFlags.offset, WtsInfoExLevel1.Times.offset) == (8, 160)
        assert ctypes.sizeof(SubscribeParameters) == 2 * ctypes.sizeof(ctypes.c_void_p)

    @pytest.mark.parametrize(("flags", "locked"), [(0, True), (1, False), (-1, None)])
    def test_our_session_is_shown(self, flags: int, locked: bool | None) -> None:
        it = Windows(flags=flags)
        assert it.probe.read() == Session(active=True, locked=locked, nobody=False, remote=False)
        assert it.buffers == {}

    def test_we_are_here_from_afar(self) -> None:
        assert Windows(remote=True).probe.read().remote is True

    def test_another_user_is_at_the_console(self) -> None:
        it = Windows(state=4, flags=0, user="Zoë")
        assert it.probe.read() == Session(active=False, locked=True, nobody=False, remote=False)
        assert it.buffers == {}

    @pytest.mark.parametrize("user", ["", None])
    def test_a_login_screen_is_nobodys_in_particular(self, user: str | None) -> None:
        assert Windows(state=4, flags=0, user=user).probe.read() == Session(locked=True, remote=False)

    def test_what_does_not_answer_or_makes_no_sense_is_unknown(self) -> None:
        it = Windows()
        it.info.Level = 2
        assert it.probe.read() == Session()
        it.answers = False
        assert it.probe.read() == Session()

    def test_a_sleep_is_told_and_a_waking(self) -> None:
        it, changes = Windows(), []
        it.probe.watch(lambda: changes.append(it.probe.read().leaving))
        it.tell(4)
        assert it.probe.read().leaving == "suspend"
        it.tell(18)
        it.tell(7)
        assert changes == ["suspend", "", ""]

    def test_the_system_waits_until_we_let_it_sleep(self) -> None:
        it, told = Windows(), threading.Event()
        it.probe.watch(told.set)
        assert it.probe.delay_sleep()
        sleeping = threading.Thread(target=it.tell, args=(4,))
        sleeping.start()
        assert told.wait(20.0)
        assert it.probe.delay_sleep()  # still
        it.probe.let_sleep()
        sleeping.join(20.0)
        assert not sleeping.is_alive()
        assert not it.probe.delay_sleep()  # too late for this time
        it.tell(18)
        assert it.probe.delay_sleep()

    def test_nothing_waits_for_who_is_not_told(self) -> None:
        it = Windows()
        assert not it.probe.delay_sleep()
        it.answers = False
        it.probe.watch(lambda: None)
        assert not it.probe.delay_sleep()

    def test_closing_ends_it(self) -> None:
        it = Windows()
        it.probe.watch(lambda: None)
        it.probe.close()
        assert it.subscribed is None
        it.probe.close()


class TestMac:
    def probe(self, said: Any, uid: int = 501, console: Path = Path("/none")) -> tuple[MacSession, FakeFoundation]:
        fake = FakeFoundation()
        graphics = SimpleNamespace(CGSessionCopyCurrentDictionary=Function(lambda: said and fake.copy(said)))
        return MacSession(graphics, fake.foundation, uid, console), fake

    @pytest.mark.parametrize(
        ("said", "session"),
        [
            ({"kCGSSessionOnConsoleKey": True, "kCGSSessionUserNameKey": "Zoë"}, Session(True, False, False)),
            ({"kCGSSessionOnConsoleKey": True, "CGSSessionScreenIsLocked": True}, Session(True, True, False)),
            ({"kCGSSessionOnConsoleKey": True, "CGSSessionScreenIsLocked": 1}, Session(True, True, False)),
            ({"kCGSSessionOnConsoleKey": False}, Session(None, None, False)),
            ({"kCGSSessionUserIDKey": 501, "list": [1.5, "x"]}, Session()),
            (["no dictionary"], Session()),
            (None, Session()),
        ],
    )
    def test_what_it_says_is_read_and_released(self, said: Any, session: Session) -> None:
        probe, fake = self.probe(said)
        assert probe.read() == session
        assert fake.owned == set()

    def test_the_owner_of_the_console_tells_another_user(self, tmp_path: Path) -> None:
        background = {"kCGSSessionOnConsoleKey": False}
        if os.getuid() == 0:  # root's console is the login window
            assert self.probe(background, 501, tmp_path)[0].read().active is None
            os.chown(tmp_path, 502, -1)
        owner = tmp_path.stat().st_uid
        assert self.probe(background, owner + 1, tmp_path)[0].read() == Session(active=False, nobody=False)
        assert self.probe(background, owner, tmp_path)[0].read().active is None

    def test_nothing_is_told_and_nothing_waits(self) -> None:
        probe, _ = self.probe(None)
        probe.watch(lambda: None)
        assert not probe.delay_sleep()
        probe.let_sleep()
        probe.close()


def test_without_a_bus_nothing_is_known(no_bus: None, probe: LogindSession) -> None:
    probe.watch(lambda: None)
    assert probe.read() == Session()
    assert not probe.delay_sleep()


def test_where_there_is_no_source_nothing_is_known() -> None:
    probe: SessionProbe = NullSession()
    probe.watch(lambda: None)
    assert probe.read() == Session()
    assert not probe.delay_sleep()
    probe.let_sleep()
    probe.close()


def test_this_system_has_a_source_with_a_name() -> None:
    assert host.session_probe().name


def test_without_logind_the_screen_is_ours_where_nobody_else_has_a_process(no_bus: None) -> None:
    system, desktop = Bus("SYSTEM"), Bus("SESSION")
    for alone, active in ((True, True), (None, None)):
        probe = LogindSession(system, ScreenSaver(desktop), OURS, alone=lambda _, alone=alone: alone)
        assert probe.read() == Session(active=active)
        probe.close()
    system.close()
    desktop.close()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can be another user")
def test_whoever_else_has_a_process_may_be_at_the_screen_and_root_is_nobody() -> None:
    if company.alone(0) is None:
        pytest.skip("somebody else is at this computer")
    code = "import os, sys; os.setuid(1234); print(flush=True); sys.stdin.read()"
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdin is not None and other.stdout is not None
    other.stdout.readline()
    assert company.alone(0) is None
    assert company.alone(1234) is True
    other.communicate()
    assert company.alone(0) is True
