"""Idle sources: the real one against a real X server, the others against faked calls of their system."""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from Xlib import X
from Xlib.display import Display

from gogrid_desktop.core.idle import Kind
from gogrid_desktop.system import host
from gogrid_desktop.system.idle import IdleProbe
from gogrid_desktop.system.idle.macos import MacIdle
from gogrid_desktop.system.idle.null import NullIdle
from gogrid_desktop.system.idle.windows import LastInputInfo, WindowsIdle
from gogrid_desktop.system.idle.x11 import X11Idle
from gogrid_desktop.system.tray import Tray, x11_tray

needs_x = pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="Xvfb and xdotool are not installed"
)
PATIENCE_S = 20.0
# python-xlib leaves the socket of a connection that failed to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(autouse=True)
def sockets_are_collected_in_the_test_that_left_them() -> Iterator[None]:
    yield
    gc.collect()


class XServer:
    """An Xvfb of our own. `display` None: on a display that is free."""

    def __init__(self, display: str | None = None, *options: str) -> None:
        read, write = os.pipe()
        command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "320x200x24", "-nolisten", "tcp", *options]
        if display is not None:
            command.insert(1, display)
        self.process = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as number:
            self.display = f":{number.readline().strip()}"

    def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait()

    def touch(self, *how: str) -> None:
        """What a person does, in the words of xdotool: at least move the pointer."""
        environment = {**os.environ, "DISPLAY": self.display}
        subprocess.run(["xdotool", *(how or ("mousemove_relative", "3", "3"))], env=environment, check=True)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[XServer]:
    it = XServer()
    monkeypatch.setenv("DISPLAY", it.display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("XDG_SESSION_TYPE", "x11")
    yield it
    it.end()


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def no_watch() -> bool:
    return not any(thread.name == "x11 input" for thread in threading.enumerate())


def known(probe: IdleProbe) -> float:
    idle_s = probe.idle_s()
    assert idle_s is not None
    return idle_s


@needs_x
@pytest.mark.desktop
class TestX11:
    def test_it_grows_while_nobody_touches_anything(self, server: XServer) -> None:
        probe = X11Idle()
        first, began = known(probe), time.monotonic()
        assert eventually(lambda: known(probe) >= first + 0.5)
        assert time.monotonic() - began >= 0.45

    def test_input_sets_it_back(self, server: XServer) -> None:
        probe = X11Idle()
        assert eventually(lambda: known(probe) >= 1.0)
        server.touch()
        assert known(probe) < 1.0

    def test_it_is_unknown_when_the_server_has_gone_and_known_when_there_is_one_again(self, server: XServer) -> None:
        probe = X11Idle()
        assert probe.idle_s() is not None
        server.end()
        assert probe.idle_s() is None
        again = XServer(server.display)
        try:
            assert probe.idle_s() is not None
        finally:
            again.end()

    def test_a_server_that_does_not_answer_holds_nobody(self, server: XServer) -> None:
        probe = X11Idle()
        assert probe.idle_s() is not None
        server.process.send_signal(signal.SIGSTOP)
        assert probe.idle_s() is None
        server.process.send_signal(signal.SIGCONT)
        assert eventually(lambda: probe.idle_s() is not None)

    def test_without_the_extension_it_is_unknown(self, server: XServer, monkeypatch: pytest.MonkeyPatch) -> None:
        bare = XServer(None, "-extension", "MIT-SCREEN-SAVER")
        monkeypatch.setenv("DISPLAY", bare.display)
        try:
            assert X11Idle().idle_s() is None
        finally:
            bare.end()

    @pytest.mark.parametrize(("name", "value"), [("WAYLAND_DISPLAY", "wayland-0"), ("XDG_SESSION_TYPE", "wayland")])
    def test_it_never_counts_under_wayland(
        self, name: str, value: str, server: XServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(name, value)
        assert X11Idle().idle_s() is None

    @pytest.mark.parametrize("how", [("key", "a"), ("click", "1"), ("mousemove_relative", "1", "0")])
    def test_the_first_input_after_an_absence_is_told_at_once_and_once(
        self, server: XServer, how: tuple[str, ...]
    ) -> None:
        probe, heard = X11Idle(), threading.Semaphore(0)
        server.touch(*how)  # before it is watched for
        assert probe.watch_for_input(lambda: pytest.fail("an old one was called"))
        assert probe.watch_for_input(heard.release)
        assert not heard.acquire(timeout=0.2)
        server.touch(*how)
        assert heard.acquire(timeout=PATIENCE_S)
        assert eventually(no_watch)
        server.touch(*how)
        assert not heard.acquire(timeout=0.2)
        assert probe.watch_for_input(heard.release)
        server.touch(*how)
        assert heard.acquire(timeout=PATIENCE_S)

    def test_input_is_told_while_a_game_holds_the_pointer_and_the_keyboard(self, server: XServer) -> None:
        game, probe, heard = Display(server.display), X11Idle(), threading.Event()
        try:
            root = game.screen().root
            assert root.grab_pointer(False, 0, X.GrabModeAsync, X.GrabModeAsync, 0, 0, X.CurrentTime) == X.GrabSuccess
            assert root.grab_keyboard(False, X.GrabModeAsync, X.GrabModeAsync, X.CurrentTime) == X.GrabSuccess
            assert probe.watch_for_input(heard.set)
            server.touch("key", "a")
            assert heard.wait(PATIENCE_S)
        finally:
            game.close()

    def test_a_server_that_dies_is_told_to_who_waits_for_input(self, server: XServer) -> None:
        probe, heard = X11Idle(), threading.Event()
        assert probe.watch_for_input(heard.set)
        server.end()
        assert heard.wait(PATIENCE_S)
        assert not probe.watch_for_input(heard.set)

    def test_a_server_that_hangs_takes_no_watch_and_takes_it_later(self, server: XServer) -> None:
        probe, heard = X11Idle(), threading.Event()
        server.process.send_signal(signal.SIGSTOP)
        assert not probe.watch_for_input(heard.set)
        server.process.send_signal(signal.SIGCONT)
        assert eventually(lambda: probe.watch_for_input(heard.set))
        server.touch()
        assert heard.wait(PATIENCE_S)

    def test_who_closes_hears_no_more(self, server: XServer) -> None:
        probe = X11Idle()
        assert probe.watch_for_input(lambda: pytest.fail("nobody wants to know"))
        probe.close()
        assert eventually(no_watch)
        server.touch()

    def test_without_the_input_extension_it_cannot_tell(self, server: XServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("Xlib.ext.xinput.extname", "Not-An-Extension")
        assert not X11Idle().watch_for_input(lambda: None)
        monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
        assert not X11Idle().watch_for_input(lambda: None)

    def test_a_bare_x_server_has_no_tray(self, server: XServer, monkeypatch: pytest.MonkeyPatch) -> None:
        assert x11_tray() is Tray.ABSENT
        monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
        assert x11_tray() is Tray.UNKNOWN

    def test_a_program_that_owns_the_tray_is_found(self, server: XServer) -> None:
        panel = Display(server.display)
        try:
            window = panel.screen().root.create_window(0, 0, 1, 1, 0, panel.screen().root_depth)
            window.set_selection_owner(panel.intern_atom("_NET_SYSTEM_TRAY_S0"), X.CurrentTime)
            panel.sync()
            assert x11_tray() is Tray.FOUND
        finally:
            panel.close()


@pytest.mark.parametrize("display", ["", ":4242", "no display"])
def test_without_an_x_server_it_is_unknown(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("XDG_SESSION_TYPE", raising=False)
    assert X11Idle().idle_s() is None


def test_without_a_desktop_there_is_no_tray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert x11_tray() is Tray.NO_DESKTOP
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert x11_tray() is Tray.UNKNOWN


def windll(last_input_ms: int, now_ms: int, *, answers: bool = True) -> SimpleNamespace:
    def get_last_input_info(reference: object) -> int:
        info = reference._obj  # type: ignore[attr-defined]
        assert isinstance(info, LastInputInfo)
        assert info.cbSize == 8
        info.dwTime = last_input_ms
        return int(answers)

    return SimpleNamespace(
        user32=SimpleNamespace(GetLastInputInfo=get_last_input_info),
        kernel32=SimpleNamespace(GetTickCount=lambda: ctypes.c_int32(now_ms).value),
    )


@pytest.mark.parametrize(
    ("last_input_ms", "now_ms", "idle_s"),
    [
        (1000, 1000, 0.0),
        (1000, 4500, 3.5),
        (2**31 - 500, 2**31 + 500, 1.0),  # past 24.9 days the count comes back negative
        (2**32 - 1000, 2000, 3.0),  # past 49.7 days it begins anew
    ],
)
def test_windows_counts_across_the_ends_of_its_clock(last_input_ms: int, now_ms: int, idle_s: float) -> None:
    assert WindowsIdle(windll(last_input_ms, now_ms)).idle_s() == idle_s


def test_windows_that_does_not_answer_is_unknown() -> None:
    assert WindowsIdle(windll(0, 5000, answers=False)).idle_s() is None


class EventSource:
    """CGEventSourceSecondsSinceLastEventType: declared by the caller, then called with a state and a kind of event."""

    def __init__(self, answer: float) -> None:
        self.answer = answer
        self.argtypes: tuple[type, ...] = ()
        self.restype: type | None = None

    def __call__(self, state: int, kind: int) -> float:
        assert (self.argtypes, self.restype) == ((ctypes.c_int32, ctypes.c_uint32), ctypes.c_double)
        assert (state, kind) == (0, 0xFFFFFFFF)
        return self.answer


@pytest.mark.parametrize(("answer", "idle_s"), [(12.5, 12.5), (0.0, 0.0), (-1.0, None), (float("inf"), None)])
def test_macos_tells_seconds_or_is_unknown(answer: float, idle_s: float | None) -> None:
    framework = SimpleNamespace(CGEventSourceSecondsSinceLastEventType=EventSource(answer))
    assert MacIdle(framework).idle_s() == idle_s


def test_where_there_is_no_source_nothing_is_known() -> None:
    assert NullIdle().idle_s() is None
    assert not NullIdle().watch_for_input(lambda: None)


def test_this_system_has_a_source_with_a_name() -> None:
    probes = host.idle_probes()
    assert probes
    assert all(probe.name and probe.kind in Kind for probe in probes)
    for probe in probes:
        probe.close()


@pytest.mark.skipif(sys.platform != "linux", reason="kinds of session are Linux's")
@pytest.mark.parametrize(
    ("variable", "value", "counters"),
    [
        ("WAYLAND_DISPLAY", "wayland-0", ["wayland-idle-notify", "mutter-idle-monitor"]),
        ("DISPLAY", ":0", ["x11-screensaver", "mutter-idle-monitor", "screensaver-service"]),
    ],
)
def test_the_kind_of_session_says_which_sources_may_count(
    variable: str, value: str, counters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WAYLAND_DISPLAY", "XDG_SESSION_TYPE", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    probes = host.idle_probes()
    assert [probe.name for probe in probes if probe.kind is Kind.COUNTER] == counters
    assert [probe.kind for probe in probes if probe.kind is not Kind.COUNTER] == [Kind.PRESENCE, Kind.HINT]
    for probe in probes:
        probe.close()
