"""Idle time told over D-Bus: against services that answer as the real ones, on a bus of the test's own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_idle import eventually

from gogrid_desktop.core.idle import Kind
from gogrid_desktop.system.dbus import Bus, Service
from gogrid_desktop.system.idle import IdleProbe
from gogrid_desktop.system.idle.freedesktop import SCREEN_SAVER, ScreenSaverIdle
from gogrid_desktop.system.idle.logind import MANAGER, LogindIdle
from gogrid_desktop.system.idle.mutter import MONITOR, MutterIdle

PYTHON, MOCK = "/usr/bin/python3", "org.freedesktop.DBus.Mock"
BUS = Service("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
UID, WATCH = 1000, "self.n = getattr(self, 'n', 0) + 1; ret = self.n"


def mock_is_there() -> bool:
    if shutil.which("dbus-daemon") is None or not Path(PYTHON).exists():
        return False
    return subprocess.run([PYTHON, "-c", "import dbusmock"], capture_output=True, check=False).returncode == 0


needs_mock = pytest.mark.skipif(not mock_is_there(), reason="dbus-daemon and python3-dbusmock are not installed")


class PrivateBus:
    """Of both kinds at once: what is the session's and what the system's is only a matter of names."""

    def __init__(self) -> None:
        command = ["dbus-daemon", "--session", "--nofork", "--print-address"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self.process.stdout.close()
        self.services: list[MockService] = []

    def end(self) -> None:
        for service in self.services:
            service.end()
        self.process.terminate()
        self.process.wait()


class MockService:
    """A process that has the name of the service; `ours` tells it what to answer."""

    def __init__(self, ours: Bus, service: Service, *options: str) -> None:
        self.ours, self.service = ours, service
        self.mock = Service(service.name, service.path, MOCK)
        names = options or (service.name, service.path, service.interface)
        self.process = subprocess.Popen([PYTHON, "-m", "dbusmock", "--session", *names], stderr=subprocess.DEVNULL)
        assert eventually(lambda: ours.call(BUS, "NameHasOwner", "s", (service.name,)) == (True,))

    def answers(self, method: str, code: str, takes: str = "", gives: str = "") -> None:
        body = (self.service.interface, method, takes, gives, code)
        assert self.ours.call(self.mock, "AddMethod", "sssss", body) is not None

    def emits(self, name: str, signature: str, *values: Any) -> None:
        body = (self.service.interface, name, signature, [(signature, value) for value in values])
        assert self.ours.call(self.mock, "EmitSignal", "sssav", body) is not None

    def calls(self, method: str) -> list[tuple[Any, ...]]:
        (calls,) = self.ours.call(self.mock, "GetMethodCalls", "s", (method,)) or ((),)
        return [tuple(value for _, value in arguments) for _, arguments in calls]

    def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateBus]:
    it = PrivateBus()
    for name in ("DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS"):
        monkeypatch.setenv(name, it.address)
    for name in ("WAYLAND_DISPLAY", "XDG_SESSION_TYPE", "XDG_SESSION_ID"):
        monkeypatch.delenv(name, raising=False)
    yield it
    it.end()


@pytest.fixture
def bus(private: PrivateBus) -> Iterator[Bus]:
    it = Bus("SESSION")
    yield it
    it.close()


@pytest.fixture
def ours(private: PrivateBus) -> Iterator[Bus]:
    it = Bus("SESSION")
    yield it
    it.close()


@pytest.fixture
def start(private: PrivateBus, ours: Bus) -> Callable[..., MockService]:
    def started(service: Service, *options: str) -> MockService:
        private.services.append(MockService(ours, service, *options))
        return private.services[-1]

    return started


@pytest.fixture
def mutter(start: Callable[..., MockService]) -> MockService:
    it = start(MONITOR)
    it.answers("GetIdletime", "ret = 61500", gives="t")
    it.answers("AddUserActiveWatch", WATCH, gives="u")
    it.answers("RemoveWatch", "", takes="u")
    return it


@needs_mock
class TestMutter:
    def test_it_tells_milliseconds(self, mutter: MockService, bus: Bus) -> None:
        assert MutterIdle(bus).idle_s() == 61.5

    @pytest.mark.parametrize(("code", "gives"), [("ret = 'soon'", "s"), ("", ""), ("raise RuntimeError('no')", "t")])
    def test_what_makes_no_sense_is_unknown(self, mutter: MockService, bus: Bus, code: str, gives: str) -> None:
        mutter.answers("GetIdletime", code, gives=gives)
        mutter.answers("AddUserActiveWatch", code, gives=gives)
        probe = MutterIdle(bus)
        assert probe.idle_s() is None
        assert not probe.watch_for_input(lambda: None)

    def test_the_first_input_is_told_at_once_and_once(self, mutter: MockService, bus: Bus) -> None:
        probe, heard = MutterIdle(bus), threading.Semaphore(0)
        assert probe.watch_for_input(heard.release)
        mutter.emits("WatchFired", "u", 77)  # somebody else's
        mutter.emits("WatchFired", "u", 1)
        assert heard.acquire(timeout=10)
        mutter.emits("WatchFired", "u", 1)
        assert probe.idle_s() == 61.5  # what came before has been heard by now
        assert not heard.acquire(blocking=False)

    def test_asking_again_leaves_one_watch_and_one_that_is_told(self, mutter: MockService, bus: Bus) -> None:
        probe, heard = MutterIdle(bus), threading.Event()
        assert probe.watch_for_input(lambda: pytest.fail("an old one was called"))
        assert probe.watch_for_input(heard.set)
        assert [call[0] for call in mutter.calls("RemoveWatch")] == [1]
        mutter.emits("WatchFired", "u", 2)
        assert heard.wait(10)

    def test_an_input_before_the_number_of_its_watch_is_known_is_not_missed(
        self, mutter: MockService, bus: Bus
    ) -> None:
        mutter.answers("AddUserActiveWatch", "self.EmitSignal('', 'WatchFired', 'u', [9]); ret = 9", gives="u")
        heard = threading.Event()
        assert MutterIdle(bus).watch_for_input(heard.set)
        assert heard.wait(10)

    def test_who_closes_hears_no_more_and_the_bus_stays_open(self, mutter: MockService, bus: Bus) -> None:
        probe = MutterIdle(bus)
        assert probe.watch_for_input(lambda: pytest.fail("nobody wants to know"))
        probe.close()
        mutter.emits("WatchFired", "u", 1)
        assert MutterIdle(bus).idle_s() == 61.5

    def test_a_compositor_that_hangs_dies_and_returns(
        self, mutter: MockService, bus: Bus, start: Callable[..., MockService]
    ) -> None:
        probe = MutterIdle(bus)
        mutter.process.send_signal(signal.SIGSTOP)
        assert probe.idle_s() is None
        assert not probe.watch_for_input(lambda: None)
        mutter.process.send_signal(signal.SIGCONT)
        assert eventually(lambda: probe.idle_s() == 61.5)
        mutter.end()
        assert probe.idle_s() is None
        start(MONITOR).answers("GetIdletime", "ret = 0", gives="t")
        assert probe.idle_s() == 0.0


@needs_mock
class TestScreenSaver:
    def test_it_tells_milliseconds(self, start: Callable[..., MockService], bus: Bus) -> None:
        start(SCREEN_SAVER).answers("GetSessionIdleTime", "ret = 2500", gives="u")
        assert ScreenSaverIdle(bus).idle_s() == 2.5

    @pytest.mark.parametrize(("name", "value"), [("WAYLAND_DISPLAY", "wayland-0"), ("XDG_SESSION_TYPE", "wayland")])
    def test_it_never_counts_under_wayland(
        self, start: Callable[..., MockService], bus: Bus, name: str, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service = start(SCREEN_SAVER)
        service.answers("GetSessionIdleTime", "ret = 0", gives="u")
        monkeypatch.setenv(name, value)
        assert ScreenSaverIdle(bus).idle_s() is None
        assert service.calls("GetSessionIdleTime") == []

    def test_a_desktop_that_refuses_is_unknown(self, start: Callable[..., MockService], bus: Bus) -> None:
        start(SCREEN_SAVER)
        assert ScreenSaverIdle(bus).idle_s() is None

    def test_it_cannot_tell_of_input(self, bus: Bus) -> None:
        assert not ScreenSaverIdle(bus).watch_for_input(lambda: None)


class Login:
    """logind, as its users know it, with two sessions of one user."""

    def __init__(self, service: MockService) -> None:
        self.service, self.ours = service, service.ours
        for number in ("c1", "c2"):
            body = (number, "seat0", UID, "ann", True)
            assert self.ours.call(service.mock, "AddSession", "ssusb", body) is not None
        service.answers("GetUser", "ret = '/org/freedesktop/login1/user/' + str(args[0])", "u", "o")
        service.answers("GetSessionByPID", "ret = '/org/freedesktop/login1/session/c2'", "u", "o")

    def display(self, session: str) -> None:
        path = f"/org/freedesktop/login1/session/{session}"
        self._set(f"user/{UID}", "User", {"Display": ("(so)", (session, path))})

    def idle(self, session: str, since_s: float | None) -> None:
        """None: not idle."""
        since_us = 0 if since_s is None else round((time.monotonic() - since_s) * 1e6)
        properties = {"IdleHint": ("b", since_s is not None), "IdleSinceHintMonotonic": ("t", since_us)}
        self._set(f"session/{session}", "Session", properties)

    def _set(self, path: str, interface: str, properties: dict[str, Any]) -> None:
        there = Service(MANAGER.name, f"{MANAGER.path}/{path}", "org.freedesktop.DBus.Properties")
        for name, value in properties.items():
            body = (f"org.freedesktop.login1.{interface}", name, value)
            assert self.ours.call(there, "Set", "ssv", body) is not None


@pytest.fixture
def login(start: Callable[..., MockService]) -> Login:
    return Login(start(MANAGER, "--template", "logind"))


@pytest.fixture
def system(private: PrivateBus) -> Iterator[Bus]:
    it = Bus("SYSTEM")
    yield it
    it.close()


@needs_mock
class TestLogind:
    def test_the_hint_of_the_graphical_session_is_told(self, login: Login, system: Bus) -> None:
        probe = LogindIdle(system, UID)
        assert probe.kind is Kind.HINT
        login.display("c1")
        login.idle("c2", 500.0)
        assert probe.idle_s() == 0.0
        login.idle("c1", 300.0)
        assert probe.idle_s() == pytest.approx(300.0, abs=5.0)
        login.idle("c1", None)
        assert probe.idle_s() == 0.0

    @pytest.mark.parametrize(("named", "idle_s"), [("c1", 100.0), (None, 200.0)])
    def test_without_one_it_is_the_session_of_this_program(
        self, login: Login, system: Bus, named: str | None, idle_s: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if named is not None:
            monkeypatch.setenv("XDG_SESSION_ID", named)
        login.idle("c1", 100.0)
        login.idle("c2", 200.0)
        assert LogindIdle(system, UID).idle_s() == pytest.approx(idle_s, abs=5.0)

    def test_a_service_without_a_session_knows_nothing(self, login: Login, system: Bus) -> None:
        login.service.answers("GetSessionByPID", "raise RuntimeError('no session')", "u", "o")
        assert LogindIdle(system, UID).idle_s() is None

    def test_a_hint_without_a_time_is_unknown(self, login: Login, system: Bus) -> None:
        login.display("c1")
        login._set("session/c1", "Session", {"IdleHint": ("b", True), "IdleSinceHintMonotonic": ("t", 0)})
        assert LogindIdle(system, UID).idle_s() is None

    def test_logind_that_hangs_dies_and_returns(
        self, login: Login, system: Bus, start: Callable[..., MockService]
    ) -> None:
        login.display("c1")
        probe = LogindIdle(system, UID)
        assert probe.idle_s() == 0.0
        login.service.process.send_signal(signal.SIGSTOP)
        assert probe.idle_s() is None
        login.service.process.send_signal(signal.SIGCONT)
        assert eventually(lambda: probe.idle_s() == 0.0)
        login.service.end()
        assert probe.idle_s() is None
        Login(start(MANAGER, "--template", "logind")).display("c2")
        assert eventually(lambda: probe.idle_s() == 0.0)


def sources(session: Bus, system: Bus) -> tuple[IdleProbe, ...]:
    return (MutterIdle(session), ScreenSaverIdle(session), LogindIdle(system, UID))


@pytest.mark.parametrize("address", ["", "unix:path=/nowhere/bus", "what"])
def test_without_a_bus_nothing_is_known(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS"):
        monkeypatch.setenv(name, address)
    session, system = Bus("SESSION"), Bus("SYSTEM")
    for probe in sources(session, system):
        assert probe.idle_s() is None
        assert not probe.watch_for_input(lambda: None)
        probe.close()
    session.close()
    system.close()


@needs_mock
def test_without_the_services_nothing_is_known_nor_once_the_bus_has_died(
    private: PrivateBus, mutter: MockService, bus: Bus
) -> None:
    for probe in sources(bus, bus)[1:]:
        assert probe.idle_s() is None
    watching = MutterIdle(bus)
    assert watching.watch_for_input(lambda: None)
    private.end()
    assert eventually(lambda: watching.idle_s() is None)
