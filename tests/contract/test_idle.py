"""Idle sources: the real one against a real X server, the others against faked calls of their system."""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from Xlib import X
from Xlib.display import Display

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

    def touch(self) -> None:
        """What a person does: move the pointer."""
        environment = {**os.environ, "DISPLAY": self.display}
        subprocess.run(["xdotool", "mousemove_relative", "3", "3"], env=environment, check=True)


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


def test_this_system_has_a_source_with_a_name() -> None:
    probes = host.idle_probes()
    assert probes
    assert all(probe.name for probe in probes)
