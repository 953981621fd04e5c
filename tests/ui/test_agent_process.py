"""The agent that the tray starts: remembered, stopped in steps, explained when it fails."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from gogrid_desktop.ui.agent_process import SETTLED_S, STOP_S, AgentProcess, last_line
from gogrid_desktop.ui.view import AgentRun

#: Says its id, then waits; SIGTERM ends it, unless it is stubborn.
WAITING = "import os, time; print(os.getpid(), os.getsid(0), flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITING}"

Start = Callable[[str], AgentProcess]


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(qtbot: QtBot, tmp_path: Path, clock: Clock) -> Iterator[Start]:
    started: list[AgentProcess] = []

    def it(program: str) -> AgentProcess:
        process = AgentProcess(tmp_path / "state" / "agent.log", (sys.executable, "-c", program), monotonic=clock)
        started.append(process)
        process.start()
        return process

    yield it
    for process in started:
        if process.run.ours:
            os.kill(pid_of(tmp_path), signal.SIGKILL)
            qtbot.waitUntil(lambda process=process: not process.run.ours)


def pid_of(folder: Path) -> int:
    return int((folder / "state" / "agent.log").read_text().split()[0])


def running(qtbot: QtBot, folder: Path) -> int:
    """Wait until the program has spoken; its process id."""
    qtbot.waitUntil(lambda: (folder / "state" / "agent.log").read_text().endswith("\n"))
    return pid_of(folder)


def test_it_runs_in_a_session_of_its_own(qtbot: QtBot, tmp_path: Path, start: Start) -> None:
    process = start(WAITING)
    pid = running(qtbot, tmp_path)
    assert process.run == AgentRun(ours=True)
    assert (tmp_path / "state" / "agent.log").read_text().split() == [str(pid), str(pid)]


def test_a_second_start_changes_nothing(qtbot: QtBot, tmp_path: Path, start: Start) -> None:
    process = start(WAITING)
    pid = running(qtbot, tmp_path)
    process.start()
    assert pid_of(tmp_path) == pid


def test_it_is_asked_then_terminated_then_killed(qtbot: QtBot, tmp_path: Path, start: Start, clock: Clock) -> None:
    process = start(STUBBORN)
    pid = running(qtbot, tmp_path)
    asked, stopped = [], []
    process.stop(ask=lambda: asked.append(True) is None, when_stopped=lambda: stopped.append(True))
    clock.now_s += STOP_S - 0.1
    process.check()
    assert (asked, stopped) == ([True], [])
    clock.now_s += 0.2
    process.check()  # terminated, which it ignores
    process.check()
    assert process.run.ours
    clock.now_s += STOP_S + 0.1
    qtbot.waitUntil(lambda: stopped == [True])
    assert process.run == AgentRun()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_one_that_cannot_be_asked_is_terminated(qtbot: QtBot, tmp_path: Path, start: Start) -> None:
    process = start(WAITING)
    running(qtbot, tmp_path)
    stopped: list[bool] = []
    process.stop(ask=lambda: False, when_stopped=lambda: stopped.append(True))
    qtbot.waitUntil(lambda: stopped == [True])
    assert process.run == AgentRun()


def test_stopping_without_an_agent_is_done_at_once(qtbot: QtBot, tmp_path: Path) -> None:
    stopped: list[bool] = []
    AgentProcess(tmp_path / "log").stop(ask=lambda: True, when_stopped=lambda: stopped.append(True))
    assert stopped == [True]


@pytest.mark.parametrize(
    ("program", "failure"),
    [
        (
            "import sys; sys.exit('No model file. See: gogrid doctor')",
            "the agent ended: No model file. See: gogrid doctor",
        ),
        ("import sys; sys.exit(3)", "the agent ended: exit code 3"),
        ("pass", ""),
        ("import sys; print('another one runs'); sys.exit(5)", ""),
    ],
)
def test_an_end_soon_after_the_start_is_explained(qtbot: QtBot, start: Start, program: str, failure: str) -> None:
    process = start(program)
    qtbot.waitUntil(lambda: not process.run.ours)
    assert process.run == AgentRun(failure=failure)


def test_one_that_ran_well_and_broke_is_started_again(qtbot: QtBot, tmp_path: Path, start: Start, clock: Clock) -> None:
    process = start(WAITING)
    first = running(qtbot, tmp_path)
    clock.now_s += SETTLED_S + 1
    os.kill(first, signal.SIGKILL)
    qtbot.waitUntil(lambda: (tmp_path / "state" / "agent.log").read_text().strip() not in ("", f"{first} {first}"))
    assert process.run == AgentRun(ours=True)


def test_a_program_that_is_not_there_is_a_failure_in_words(qtbot: QtBot, tmp_path: Path) -> None:
    process = AgentProcess(tmp_path / "agent.log", ("/nowhere/gogrid",))
    process.start()
    assert process.run == AgentRun(failure="the agent could not be started: No such file or directory")


def test_the_last_line_is_found_in_long_empty_and_missing_files(tmp_path: Path) -> None:
    file = tmp_path / "log"
    assert last_line(file) == ""
    file.write_text("")
    assert last_line(file) == ""
    file.write_text("x" * 10000 + "\nthe end \n\n \n")
    assert last_line(file) == "the end"
