"""Menu, window and their commands, with a scripted agent and a pretended panel."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures_scripted_agent import SHARING, STATUSES, Command, ScriptedAgent
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton, QSystemTrayIcon
from pytestqt.qtbot import QtBot

from gogrid_desktop.core.status import AgentState, AgentStatus
from gogrid_desktop.paths import AppPaths
from gogrid_desktop.ui.agent_client import AgentClient
from gogrid_desktop.ui.agent_process import AgentProcess
from gogrid_desktop.ui.tray import Tray
from gogrid_desktop.ui.window import StatusWindow

pytestmark = pytest.mark.qt_log_ignore(
    "This plugin does not support",  # the offscreen platform has no window manager
    "No such signal QPlatformNativeInterface::systemTrayWindowChanged",  # and no tray of its own
)

#: Ends at once, as an agent that cannot start does.
BROKEN = (sys.executable, "-c", "import sys; sys.exit('The settings file cannot be read. See: gogrid doctor')")
#: Listens, and ends when it is told to stop.
OBEDIENT = f"""
import sys
sys.path.append({str(Path(__file__).parents[1])!r})
from fixtures_scripted_agent import ScriptedAgent
from gogrid_desktop.paths import app_paths
agent = ScriptedAgent(app_paths().endpoint_file)
while agent.commands.get()["type"] != "stop":
    pass
agent.close()
print("handed everything back", flush=True)
"""


class Bench:
    """A tray with all its parts; `panel` says whether the desktop has a tray."""

    def __init__(self, paths: AppPaths, qtbot: QtBot) -> None:
        self.paths = paths
        self.panel = True
        self.client = AgentClient(paths.endpoint_file)
        self.process = AgentProcess(paths.state / "agent.log", BROKEN)
        self.window = StatusWindow()
        qtbot.addWidget(self.window)
        self.tray: Tray | None = None

    def start(self, wait_for_tray_s: float = 600.0) -> Tray:
        self.tray = Tray(self.client, self.process, self.window, wait_for_tray_s, tray_available=lambda: self.panel)
        self.tray.start()
        return self.tray


@pytest.fixture
def bench(paths: AppPaths, qtbot: QtBot) -> Iterator[Bench]:
    it = Bench(paths, qtbot)
    yield it
    if it.tray is not None:
        with qtbot.waitSignal(it.tray.left, timeout=15000):
            it.tray.leave()


@pytest.fixture
def tray(qtbot: QtBot, agent: ScriptedAgent, bench: Bench) -> Tray:
    """Connected, and showing that it shares."""
    it = bench.start()
    qtbot.waitUntil(lambda: it.view is not None and it.view.icon is AgentState.SHARING)
    return it


def next_command(agent: ScriptedAgent, qtbot: QtBot) -> Command:
    qtbot.waitUntil(lambda: not agent.commands.empty())
    return agent.commands.get_nowait()


def shows(tray: Tray, state: AgentState) -> Callable[[], bool]:
    return lambda: tray.view is not None and tray.view.icon is state


def test_the_menu_has_its_five_entries_and_two_of_them_are_text(tray: Tray, agent: ScriptedAgent, qtbot: QtBot) -> None:
    agent.push(STATUSES[AgentState.GENTLE])
    qtbot.waitUntil(shows(tray, AgentState.GENTLE))
    entries = [(entry.text(), entry.isEnabled()) for entry in tray.menu.actions() if not entry.isSeparator()]
    assert entries == [
        ("Share my GPU", True),
        ("Sharing gently: you typed 12 s ago", False),
        ("Balanced in 2 min if you stay away", False),
        ("Pause for 1 hour", True),
        ("Quit (keep sharing in the background)", True),
    ]
    assert tray.share.isChecked()


def test_icon_and_tooltip_follow_the_agent(tray: Tray, agent: ScriptedAgent, qtbot: QtBot) -> None:
    assert tray.icon is not None
    shapes = set()
    for state, status in STATUSES.items():
        agent.push(status)
        qtbot.waitUntil(shows(tray, state))
        assert tray.icon.toolTip().startswith(f"{status.headline}: ")
        shapes.add(tray.icon.icon().cacheKey())
    assert len(shapes) == len(AgentState)


def test_the_toggle_pauses_and_resumes_and_moves_only_when_the_agent_did(
    tray: Tray, agent: ScriptedAgent, qtbot: QtBot
) -> None:
    tray.share.trigger()
    assert tray.share.isChecked(), "the agent has not said so yet"
    command = next_command(agent, qtbot)
    assert (command["type"], command["for_s"]) == ("pause", None)
    agent.push(STATUSES[AgentState.PAUSED])
    qtbot.waitUntil(lambda: not tray.share.isChecked())
    tray.share.trigger()
    assert next_command(agent, qtbot)["type"] == "resume"


def test_a_snooze_lasts_an_hour_and_can_be_ended(tray: Tray, agent: ScriptedAgent, qtbot: QtBot) -> None:
    tray.snooze.trigger()
    command = next_command(agent, qtbot)
    assert (command["type"], command["for_s"]) == ("pause", 3600.0)
    agent.push(replace(STATUSES[AgentState.PAUSED], sharing=True, snooze_until=time.time() + 3600))
    qtbot.waitUntil(lambda: tray.snooze.text().startswith("Share again now (paused until "))
    assert not tray.share.isChecked()
    tray.snooze.trigger()
    assert next_command(agent, qtbot)["type"] == "resume"


def test_a_refusal_is_shown_and_changes_nothing(tray: Tray, bench: Bench, agent: ScriptedAgent, qtbot: QtBot) -> None:
    agent.refusal = "Not while updating."
    tray.share.trigger()
    qtbot.waitUntil(lambda: bench.window.notice.text() == "Not while updating.")
    assert tray.share.isChecked()
    agent.refusal = ""
    tray.share.trigger()
    qtbot.waitUntil(lambda: bench.window.notice.text() == "")


def test_a_click_brings_the_window_and_another_takes_it_away(tray: Tray, bench: Bench, qtbot: QtBot) -> None:
    assert tray.icon is not None
    assert not bench.window.isVisible()
    tray.icon.activated.emit(QSystemTrayIcon.ActivationReason.Trigger)
    assert bench.window.isVisible()
    tray.icon.activated.emit(QSystemTrayIcon.ActivationReason.Trigger)
    assert not bench.window.isVisible()
    tray.icon.activated.emit(QSystemTrayIcon.ActivationReason.Context)
    assert not bench.window.isVisible()


def test_quitting_leaves_an_agent_running_that_is_not_ours(
    tray: Tray, bench: Bench, agent: ScriptedAgent, qtbot: QtBot
) -> None:
    with qtbot.waitSignal(tray.left):
        tray.quit.trigger()
    bench.tray = None
    assert agent.commands.empty()
    assert tray.icon is not None
    assert not tray.icon.isVisible()


def test_without_a_tray_the_window_stands_in_and_does_the_same(
    bench: Bench, agent: ScriptedAgent, qtbot: QtBot
) -> None:
    bench.panel = False
    tray = bench.start(wait_for_tray_s=0)
    window = bench.window
    assert window.isVisible()
    assert tray.icon is None
    qtbot.waitUntil(lambda: window.headline.text() == "Sharing")
    assert (window.why.text(), window.counts.text()) == ("You are away.", "3 jobs, 41 tokens/s.")
    qtbot.mouseClick(window.snooze, Qt.MouseButton.LeftButton)
    assert next_command(agent, qtbot)["for_s"] == 3600.0
    window.share.setFocus()
    qtbot.keyClick(window.share, Qt.Key.Key_Space)
    assert next_command(agent, qtbot)["type"] == "pause"
    assert window.share.isChecked(), "the agent has not said so yet"


def test_the_window_waits_for_the_tray_as_long_as_it_was_told(bench: Bench, qtbot: QtBot) -> None:
    bench.panel = False
    tray = bench.start(wait_for_tray_s=600)
    tray.look_for_tray()
    assert not bench.window.isVisible()
    bench.panel = True
    tray.look_for_tray()
    assert tray.icon is not None
    assert not bench.window.isVisible()


def test_a_tray_that_comes_late_takes_over_from_the_window(bench: Bench, qtbot: QtBot) -> None:
    bench.panel = False
    tray = bench.start(wait_for_tray_s=0)
    assert bench.window.isVisible()
    bench.panel = True
    tray.look_for_tray()
    assert tray.icon is not None
    assert not bench.window.isVisible()


def test_closing_the_window_hides_it_into_the_tray_but_only_minimises_it_without_one(
    bench: Bench, qtbot: QtBot
) -> None:
    bench.panel = False
    tray = bench.start(wait_for_tray_s=0)
    bench.window.close()
    assert bench.window.isMinimized()
    bench.panel = True
    tray.look_for_tray()
    bench.window.come_up()
    qtbot.keyClick(bench.window, Qt.Key.Key_Escape)
    assert not bench.window.isVisible()


def test_everything_in_the_window_can_be_reached_by_keyboard_and_has_a_name(
    tray: Tray, bench: Bench, qtbot: QtBot
) -> None:
    window = bench.window
    for control in (window.share, window.snooze, window.quit):
        assert control.focusPolicy() & Qt.FocusPolicy.TabFocus
        assert "&" in control.text()
    assert window.picture.accessibleName() == "Sharing"
    mnemonics = [control.text()[control.text().index("&") + 1].lower() for control in window.findChildren(QPushButton)]
    assert len({*mnemonics, "s"}) == 3
    assert all(label.textFormat() is Qt.TextFormat.PlainText for label in window.findChildren(QLabel) if label.text())


@pytest.mark.parametrize("reason", ["<b>bold</b> & <img src=x>", "R&D uses the GPU"])
def test_foreign_words_are_shown_as_they_are(
    tray: Tray, bench: Bench, agent: ScriptedAgent, qtbot: QtBot, reason: str
) -> None:
    agent.push(replace(SHARING, reason=reason))
    qtbot.waitUntil(lambda: bench.window.why.text() == f"{reason[0].upper()}{reason[1:]}.")
    assert tray.status_line.text().replace("&&", "&") == f"Sharing: {reason}"
    assert tray.status_line.text().count("&&") == 1


def test_an_agent_that_cannot_start_is_quoted_and_can_be_tried_again(bench: Bench, qtbot: QtBot) -> None:
    tray = bench.start()
    qtbot.waitUntil(lambda: bench.process.run.failure != "")
    assert tray.view is not None
    assert tray.view.icon is AgentState.NEEDS_YOU
    assert tray.status_line.text() == (
        "Needs you: the agent ended: The settings file cannot be read. See: gogrid doctor"
    )
    assert tray.share.isEnabled()
    tray.share.trigger()
    assert bench.process.run.ours
    qtbot.waitUntil(lambda: bench.process.run.failure != "")


def test_an_agent_that_the_tray_started_is_asked_to_stop_before_the_tray_goes(bench: Bench, qtbot: QtBot) -> None:
    bench.process = AgentProcess(bench.paths.state / "agent.log", (sys.executable, "-c", OBEDIENT))
    tray = bench.start()
    qtbot.waitUntil(shows(tray, AgentState.SHARING), timeout=15000)
    assert tray.quit.text() == "Quit"
    with qtbot.waitSignal(tray.left, timeout=15000):
        tray.quit.trigger()
    bench.tray = None
    assert not bench.process.run.ours
    assert (bench.paths.state / "agent.log").read_text() == "handed everything back\n"


def test_an_agent_that_ended_by_itself_can_be_started_from_the_menu(
    tray: Tray, bench: Bench, agent: ScriptedAgent, qtbot: QtBot
) -> None:
    agent.close()
    qtbot.waitUntil(lambda: tray.status_line.text() == "Not sharing: the agent has stopped", timeout=10000)
    assert not bench.process.run.ours, "who stopped it may have had a reason"
    assert tray.share.isEnabled()
    assert not tray.snooze.isEnabled()


def test_only_what_differs_is_drawn_again(tray: Tray, agent: ScriptedAgent, qtbot: QtBot, bench: Bench) -> None:
    seen: list[AgentStatus] = []
    bench.client.statusChanged.connect(seen.append)
    before = tray.view
    agent.push(replace(SHARING, idle_s=77.0))
    qtbot.waitUntil(lambda: len(seen) == 1)
    assert tray.view is before
