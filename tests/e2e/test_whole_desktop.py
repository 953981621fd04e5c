"""The whole of it on a real desktop: real panel, real tray, real agent, real worker, an answer in the making."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from desktop import Desktop, desktop, until
from fixtures_stage import real_grid
from fixtures_window import Program

from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.status import AgentState
from gogrid_desktop.ipc import messages as m

__all__ = ["desktop"]

pytestmark = [pytest.mark.desktop, pytest.mark.model]


def choose_first(desktop: Desktop) -> None:
    """Open the icon's menu with the mouse and take its first entry, "Share my GPU"."""

    def opened() -> int | None:
        x, y = desktop.tray_icon()
        desktop.xdotool("mousemove", str(x), str(y), "click", "3")
        time.sleep(0.5)
        return desktop.menu()

    until("the menu", opened)
    desktop.xdotool("key", "--delay", "60", "Down", "Return")
    until("the menu to go", lambda: desktop.menu() is None)


@pytest.fixture
def session(desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> Desktop:
    """The desktop, as the one that all programs of this test run on."""
    for name in ("WAYLAND_DISPLAY", "XDG_SESSION_TYPE", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    for name in ("DISPLAY", "HOME", "DBUS_SESSION_BUS_ADDRESS"):
        monkeypatch.setenv(name, desktop.env[name])
    return desktop


@pytest.mark.skipif(sys.platform != "linux", reason="an X desktop")
def test_the_tray_pauses_and_resumes_an_answer_in_the_making(session: Desktop) -> None:
    desktop = session
    with real_grid() as grid, ThreadPoolExecutor(1) as pool:
        stage = grid.stage
        assert stage.start_tray()
        desktop.tray_icon()

        desktop.xdotool("mousemove", "300", "300", "key", "a")
        # Without work the agent looks every five seconds.
        status = stage.until("the key was seen", lambda now: now.idle_s is not None and now.idle_s < 6)
        assert (status.idle_source, status.profile) == ("x11-screensaver", Profile.CONSERVATIVE)
        assert status.reasons[0].rule == "presence"

        answer = pool.submit(grid.ask, 0)
        assert grid.running.acquire(timeout=120)
        assert stage.tell(m.GetStatus(id=1)).state is AgentState.GENTLE

        choose_first(desktop)
        paused = stage.until("the agent pauses", lambda now: now.state is AgentState.PAUSED, timeout_s=5)
        assert not paused.sharing
        stage.until("the lease is handed back", lambda now: now.jobs_running == 0, timeout_s=5)
        received = grid.received[0]
        time.sleep(1.5)
        assert grid.received[0] == received
        assert not answer.done()

        choose_first(desktop)
        stage.until("the agent shares again", lambda now: now.sharing and now.jobs_running == 1, timeout_s=20)
        reply = answer.result(timeout=240)
        grid.check([reply])
        assert len(grid.resumed()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="an X desktop")
def test_a_film_that_fills_the_screen_takes_the_machine_and_gives_it_back(session: Desktop) -> None:
    with real_grid() as grid, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(grid.ask, 0, 1000)  # long enough to be in the making when the film is seen
        assert grid.running.acquire(timeout=120)
        film = Program(session.name, fullscreen=True)
        paused = grid.stage.until("the film is seen", lambda now: now.state is AgentState.PAUSED, timeout_s=10)
        assert (paused.reason, paused.reasons[0].rule) == ("Film fills the screen", "screen")
        grid.stage.until("the lease is handed back", lambda now: now.jobs_running == 0, timeout_s=5)
        assert not answer.done()

        film.leave_fullscreen()
        held = grid.stage.until("it is seen to leave", lambda now: "held" in now.reason, timeout_s=10)
        assert held.what_next.startswith("Sharing again in ")
        reply = answer.result(timeout=240)
        film.close()
        grid.check([reply])
        assert len(grid.resumed()) == 1
