"""Full-screen windows: the real source against a real window manager, the one of Windows against faked calls."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from fixtures_window import Program
from test_idle import XServer, eventually, server, sockets_are_collected_in_the_test_that_left_them

from gogrid_desktop.core.screen import Screen
from gogrid_desktop.system import host
from gogrid_desktop.system.screen.null import NullScreen
from gogrid_desktop.system.screen.windows import WindowsScreen
from gogrid_desktop.system.screen.x11 import X11Screen

__all__ = ["server", "sockets_are_collected_in_the_test_that_left_them"]

needs_openbox = pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("openbox")), reason="Xvfb and openbox are not installed"
)
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
OURS = psutil.Process(os.getpid()).name()


@pytest.fixture
def managed(server: XServer, tmp_path: Any) -> Iterator[XServer]:
    environment = {**os.environ, "HOME": str(tmp_path)}
    manager = subprocess.Popen(["openbox", "--sm-disable"], env=environment, stderr=subprocess.DEVNULL)
    probe = X11Screen()

    def manages() -> bool:
        """It tells its list before it is ready: now and then a window that was shown at once was never counted."""
        program = Program(server.display, fullscreen=True)
        end = time.monotonic() + 2
        while not (seen := probe.read() == Screen(True, "Film")) and time.monotonic() < end:
            time.sleep(0.02)
        program.close()
        return seen

    assert eventually(manages)
    assert eventually(lambda: probe.read() == Screen(False))
    yield server
    manager.terminate()
    manager.wait()


@pytest.fixture
def show(managed: XServer) -> Iterator[Callable[..., Program]]:
    shown: list[Program] = []

    def make(**how: Any) -> Program:
        shown.append(Program(managed.display, **how))
        return shown[-1]

    yield make
    for program in shown:
        program.close()


def comes_to(expected: Screen) -> bool:
    probe = X11Screen()
    return eventually(lambda: probe.read() == expected)


@needs_openbox
@pytest.mark.desktop
class TestX11:
    def test_a_window_that_fills_the_screen_is_named_by_its_program(self, show: Callable[..., Program]) -> None:
        show()
        show(pid=os.getpid(), fullscreen=True)
        assert comes_to(Screen(True, OURS))

    def test_a_window_without_a_process_here_is_named_by_its_class(self, show: Callable[..., Program]) -> None:
        show(fullscreen=True)
        assert comes_to(Screen(True, "Film"))

    def test_a_process_that_is_not_of_this_machine_is_named_by_its_class(self, show: Callable[..., Program]) -> None:
        show(fullscreen=True, pid=2**22 + 5)
        assert comes_to(Screen(True, "Film"))

    def test_an_ordinary_window_fills_nothing(self, show: Callable[..., Program]) -> None:
        show(pid=os.getpid())
        time.sleep(0.3)
        assert X11Screen().read() == Screen(False)

    def test_it_counts_under_another_window(self, show: Callable[..., Program]) -> None:
        show(fullscreen=True)
        assert comes_to(Screen(True, "Film"))
        show()
        time.sleep(0.3)
        assert X11Screen().read() == Screen(True, "Film")

    @pytest.mark.parametrize(
        "leave", [Program.minimise, Program.leave_fullscreen, lambda it: it.move_to(1), Program.close]
    )
    def test_it_counts_no_more_when_it_left(
        self, leave: Callable[[Program], None], show: Callable[..., Program]
    ) -> None:
        film = show(fullscreen=True)
        assert comes_to(Screen(True, "Film"))
        leave(film)
        assert comes_to(Screen(False))

    def test_without_a_window_manager_nothing_is_known(self, server: XServer) -> None:
        assert X11Screen().read() == Screen(None)

    def test_nothing_is_known_under_wayland_or_when_the_server_has_gone(
        self, managed: XServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        probe = X11Screen()
        monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
        assert probe.read() == Screen(None)
        monkeypatch.delenv("WAYLAND_DISPLAY")
        assert probe.read() == Screen(False)
        managed.end()
        assert probe.read() == Screen(None)


def windll(state: int, *, result: int = 0, pid: int = 0) -> SimpleNamespace:
    def notification_state(reference: object) -> int:
        value = reference._obj  # type: ignore[attr-defined]
        assert isinstance(value, ctypes.c_int)
        value.value = state
        return result

    def process_of(window: ctypes.c_void_p, reference: object) -> int:
        assert window.value == 2**40 + 7
        reference._obj.value = pid  # type: ignore[attr-defined]
        return 1

    class ForegroundWindow:
        restype: object = ctypes.c_int

        def __call__(self) -> int:
            assert self.restype is ctypes.c_void_p
            return 2**40 + 7

    return SimpleNamespace(
        shell32=SimpleNamespace(SHQueryUserNotificationState=notification_state),
        user32=SimpleNamespace(GetForegroundWindow=ForegroundWindow(), GetWindowThreadProcessId=process_of),
    )


@pytest.mark.parametrize("state", [2, 3, 4])
def test_windows_names_the_program_in_front(state: int) -> None:
    assert WindowsScreen(windll(state, pid=os.getpid())).read() == Screen(True, OURS)
    assert WindowsScreen(windll(state)).read() == Screen(True)


@pytest.mark.parametrize("state", [1, 5, 6, 7])
def test_windows_has_other_states(state: int) -> None:
    assert WindowsScreen(windll(state)).read() == Screen(False)


def test_windows_that_does_not_answer_is_unknown() -> None:
    assert WindowsScreen(windll(5, result=-2147467259)).read() == Screen(None)


def test_where_there_is_no_source_nothing_is_known() -> None:
    assert NullScreen().read() == Screen(None)


def test_this_system_has_a_source() -> None:
    assert host.screen_probe().name == ("x11-window-list" if sys.platform == "linux" else host.screen_probe().name)
