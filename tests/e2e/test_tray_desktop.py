"""The tray in a real panel, worked with mouse and keys; a scripted agent is at the other end of the local socket."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from desktop import Desktop, desktop, stop, until
from fixtures_scripted_agent import STATUSES, Command, ScriptedAgent

from gogrid_desktop.core.status import AgentState, AgentStatus

__all__ = ["desktop"]

pytestmark = pytest.mark.desktop

TRAY = (sys.executable, "-m", "gogrid_desktop", "tray")
PANEL_AREA = "200x32+0+568"


class TrayOnDesktop:
    """The real program on a real desktop; `home` is its GOGRID_HOME."""

    def __init__(self, desktop: Desktop) -> None:
        self.desktop = desktop
        self.home = desktop.home / "gogrid"
        self.agent = ScriptedAgent(self.home / "run" / "agent.json")
        self.agent.on_command = self._obey

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        return self.desktop.run([*TRAY, *options], GOGRID_HOME=str(self.home))

    def click(self, button: int) -> None:
        x, y = self.desktop.tray_icon()
        self.desktop.xdotool("mousemove", str(x), str(y), "click", str(button))

    def choose(self, *keys: str) -> None:
        """Open the menu, go through it by keyboard and take the entry."""
        until("the menu", self.clicked_open)
        self.desktop.xdotool("key", "--delay", "60", *keys, "Return")
        until("the menu to go", lambda: self.desktop.menu() is None)

    def clicked_open(self) -> int | None:
        """Clicks again where nothing comes: a click within 0.1 s of the last menu only ends that one's pointer grab."""
        self.click(3)
        with suppress(AssertionError):
            return until("the menu", self.desktop.menu, within_s=1.0)
        return None

    def next_command(self) -> Command:
        return self.agent.commands.get(timeout=10)

    def window(self) -> str | None:
        shown = self.desktop.visible_windows()
        return next((number for number, title in shown.items() if title == "GoGrid"), None)

    @staticmethod
    def _obey(command: Command) -> AgentStatus | None:
        if command["type"] == "resume":
            return STATUSES[AgentState.SHARING]
        paused = STATUSES[AgentState.PAUSED]
        if command.get("for_s"):
            return replace(paused, sharing=True, snooze_until=time.time() + command["for_s"])
        return paused


@pytest.fixture
def on_desktop(desktop: Desktop) -> Iterator[TrayOnDesktop]:
    it = TrayOnDesktop(desktop)
    yield it
    it.agent.close()


def test_the_icon_appears_and_its_menu_pauses_snoozes_and_resumes(on_desktop: TrayOnDesktop) -> None:
    process = on_desktop.start()
    on_desktop.desktop.tray_icon()
    until("the greeting", lambda: on_desktop.agent.hellos == 1)

    on_desktop.choose("Down")  # Share my GPU
    command = on_desktop.next_command()
    assert (command["type"], command["for_s"]) == ("pause", None)

    on_desktop.choose("Down")
    assert on_desktop.next_command()["type"] == "resume"

    on_desktop.choose("Down", "Down")  # the text lines are passed over: Pause for 1 hour
    command = on_desktop.next_command()
    assert (command["type"], command["for_s"]) == ("pause", 3600.0)

    on_desktop.choose("Down", "Down")  # Share again now
    assert on_desktop.next_command()["type"] == "resume"

    on_desktop.choose("Up")  # Quit
    assert process.wait(10) == 0
    until("the icon to go", lambda: not on_desktop.desktop.has_tray_icon())
    assert on_desktop.agent.commands.empty()


def test_every_state_looks_different_in_the_panel(on_desktop: TrayOnDesktop) -> None:
    on_desktop.start()
    on_desktop.desktop.tray_icon()
    pictures: set[bytes] = set()
    for state, status in STATUSES.items():
        on_desktop.agent.push(status)
        picture = on_desktop.desktop.home / f"{state}.ppm"

        def is_new(picture: Path = picture) -> bool:
            return on_desktop.desktop.screenshot(picture, PANEL_AREA).read_bytes() not in pictures

        until(f"a new picture for {state}", is_new)
        pictures.add(picture.read_bytes())
    assert len(pictures) == len(AgentState)


def test_a_click_shows_the_window_and_closing_it_keeps_the_tray(on_desktop: TrayOnDesktop) -> None:
    process = on_desktop.start()
    until("the greeting", lambda: on_desktop.agent.hellos == 1)
    on_desktop.click(1)
    window = until("the window", on_desktop.window)
    on_desktop.desktop.xdotool("windowactivate", "--sync", window, "key", "alt+p")
    assert on_desktop.next_command()["for_s"] == 3600.0
    on_desktop.desktop.xdotool("key", "alt+F4")
    until("the window to go", lambda: on_desktop.window() is None)
    assert process.poll() is None
    assert on_desktop.desktop.has_tray_icon()


def test_a_second_tray_brings_up_the_window_of_the_first(on_desktop: TrayOnDesktop) -> None:
    first = on_desktop.start()
    on_desktop.desktop.tray_icon()
    assert on_desktop.window() is None
    assert on_desktop.start().wait(20) == 0
    until("the window of the first", on_desktop.window)
    assert first.poll() is None


def test_the_icon_comes_back_after_the_panel_was_restarted(on_desktop: TrayOnDesktop) -> None:
    on_desktop.start()
    on_desktop.desktop.tray_icon()
    on_desktop.desktop.stop_panel()
    until("the icon to go", lambda: not on_desktop.desktop.has_tray_icon())
    on_desktop.desktop.start_panel()
    on_desktop.choose("Down")
    assert on_desktop.next_command()["type"] == "pause"


def test_without_a_panel_the_window_stands_in_until_one_comes(on_desktop: TrayOnDesktop) -> None:
    on_desktop.desktop.stop_panel()
    on_desktop.start("--wait-tray", "0")
    until("the window", on_desktop.window)
    on_desktop.desktop.start_panel()
    on_desktop.desktop.tray_icon()
    until("the window to go", lambda: on_desktop.window() is None)


def test_sigterm_ends_the_tray_in_order(on_desktop: TrayOnDesktop) -> None:
    process = on_desktop.start()
    on_desktop.desktop.tray_icon()
    assert stop(process) == 0
    until("the icon to go", lambda: not on_desktop.desktop.has_tray_icon())


def test_with_a_display_that_does_not_answer_the_tray_ends_with_a_sentence_and_no_core(tmp_path: Path) -> None:
    env = {"PATH": "/usr/bin:/bin", "GOGRID_HOME": str(tmp_path), "DISPLAY": ":9987"}
    done = subprocess.run(TRAY, env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "The tray cannot start: " in done.stderr
    assert "gogrid agent run" in done.stderr


def test_without_a_display_the_tray_says_so_in_words(tmp_path: Path) -> None:
    env = {"PATH": "/usr/bin:/bin", "GOGRID_HOME": str(tmp_path)}
    done = subprocess.run(TRAY, env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "no display" in done.stderr
    assert "gogrid agent run" in done.stderr
    assert "Traceback" not in done.stderr
