"""The recorder: a line for what changed, sleep told apart from time that passes, and the agent beside it asked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures_scripted_agent import SHARING, ScriptedAgent
from fixtures_sensors import Gpus, Said, sense

from gogrid_desktop.agent.gpu_sense import READY_EVERY_S
from gogrid_desktop.agent.recorder import Recorder, began
from gogrid_desktop.agent.sensors import Sensors
from gogrid_desktop.cli.agent_beside import AgentBeside
from gogrid_desktop.cli.recording_file import NOT_ENDED, RecordingFile, find, read
from gogrid_desktop.core.activity import Preferences, Role
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.recording import Encoder, Recording, decode
from gogrid_desktop.core.status import WorkerView
from gogrid_desktop.errors import BadInput, GoGridError


class Time:
    """Two clocks; `slept` moves the one on the wall alone."""

    def __init__(self) -> None:
        self.mono, self.wall = 50.0, 1_772_600_400.25

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")

    def passes(self, seconds: float) -> None:
        self.mono += seconds
        self.wall += seconds


class Desk:
    """A recorder whose waits are steps of a script: each is done after a look."""

    def __init__(self, *script: Callable[[Desk], None]) -> None:
        self.said, self.time, self.gpus = Said(idle=None), Time(), Gpus()
        self.lines: list[str] = []
        self.jobs = 0
        self._script = list(script)

    def record(self, seconds: float | None = None) -> Recording:
        sensors = Sensors(self.said.probes(), sense(self.gpus), self.time, Preferences)
        encoder = Encoder(began(self.time, Role.DESKTOP, names=True))
        recorder = Recorder(sensors, self.time, encoder, self.lines.append, lambda: self.jobs)
        recorder.run(seconds, self._stopped)
        return decode(self.lines)

    def _stopped(self, wait_s: float) -> bool:
        self.time.passes(wait_s)
        if not self._script:
            return True
        self._script.pop(0)(self)
        return False


def nothing(desk: Desk) -> None:
    """A second passes."""


def test_it_writes_what_changed_and_when_it_ended() -> None:
    def plugged_out(desk: Desk) -> None:
        desk.said.power, desk.jobs = Power(False), 2

    desk = Desk(*[nothing] * 5, plugged_out, *[nothing] * 5)
    seen = desk.record()
    assert [(frame.t, frame.activity.jobs_running, frame.activity.power.mains) for frame in seen.frames] == [
        (0.0, 0, True),
        (6.0, 2, True),
        (10.0, 2, False),  # power is read every five seconds
        (12.0, 2, False),
    ]


def test_it_ends_after_the_time_that_was_wanted() -> None:
    assert Desk(*[nothing] * 100).record(seconds=7.5).seconds == 7.5


def test_a_sleep_is_told_and_everything_is_read_anew() -> None:
    def sleeps(desk: Desk) -> None:
        desk.time.wall += 3600
        desk.said.power = Power(False)  # due only in 3 s: a reading from before the sleep would be kept

    seen = Desk(nothing, sleeps, nothing).record()
    woke = seen.frames[1]
    assert (woke.t, woke.slept_s, woke.activity.power.mains) == (3602.0, 3600.0, False)
    assert seen.seconds == 3604.0


def test_a_sleep_through_which_the_clock_went_on_is_told_too() -> None:
    seen = Desk(nothing, lambda desk: desk.time.passes(600), nothing).record()
    assert (seen.frames[1].t, seen.frames[1].slept_s) == (602.0, 600.0)


def test_a_clock_set_back_moves_no_time_but_the_one_on_the_wall() -> None:
    def set_back(desk: Desk) -> None:
        desk.time.wall -= 600

    seen = Desk(nothing, set_back, nothing).record()
    first, after = seen.frames[0], seen.frames[1]
    assert (after.t, after.slept_s) == (2.0, 0.0)
    assert after.activity.second_of_day == pytest.approx(first.activity.second_of_day + 2 - 600, abs=1)


def test_a_gpu_is_looked_at_once_a_second_but_not_on_battery() -> None:
    looked: list[float | None] = []

    def look(desk: Desk) -> None:
        looked.append(desk.gpus.every_s)
        desk.said.power = Power(False)
        desk.time.passes(5)

    Desk(look, look, nothing).record()
    assert looked == [READY_EVERY_S, None]


@pytest.fixture
def endpoint(tmp_path: Path) -> Path:
    return tmp_path / "run" / "agent.json"


def test_the_workers_of_an_agent_that_runs_are_known(endpoint: Path) -> None:
    agent = ScriptedAgent(endpoint)
    agent.status = replace(SHARING, workers=(WorkerView("one", "ready", 4711), WorkerView("two", "loading")))
    beside = AgentBeside(endpoint)
    try:
        assert beside.jobs() == SHARING.jobs_running
        assert beside.pids() == [4711]
        agent.close()
        assert (beside.jobs(), beside.pids()) == (0, [])
    finally:
        beside.close()
        agent.close()


def test_without_an_agent_nobody_is_ours(endpoint: Path) -> None:
    beside = AgentBeside(endpoint)
    assert (beside.jobs(), beside.pids()) == (0, [])


@pytest.mark.parametrize("name", ["day.jsonl", "day.jsonl.gz"])
def test_a_file_is_for_its_owner_alone_and_never_written_over(name: str, tmp_path: Path) -> None:
    desk = Desk(nothing)
    seen = desk.record()
    file = RecordingFile(tmp_path / name)
    for line in desk.lines:
        file.write(line)
    file.close()
    assert read(tmp_path / name) == seen
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600 or os.name == "nt"
    with pytest.raises(GoGridError, match="exists already"):
        RecordingFile(tmp_path / name)
    assert read(tmp_path / name) == seen


def test_what_a_killed_recorder_left_is_read_with_a_note(tmp_path: Path) -> None:
    desk = Desk(nothing)
    desk.record()
    file = RecordingFile(tmp_path / "day.jsonl.gz")
    for line in [*desk.lines[:2], *[json.dumps({"t": second}) for second in range(200)]]:
        file.write(line)
    left = (tmp_path / "day.jsonl.gz").read_bytes()
    file.close()
    (tmp_path / "killed.jsonl.gz").write_bytes(left)
    seen = read(tmp_path / "killed.jsonl.gz")
    assert seen.note == NOT_ENDED
    assert seen.seconds >= 118


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.jsonl", b"", "line 1: this is no header"),
        ("a.jsonl", b"\xff\xfe", "is no text"),
        ("a.jsonl.gz", b'{"gogrid_recording": 1}', "is not packed by gzip"),
        ("a.jsonl", b'{"gogrid_recording": 9}', "version 9"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_words(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(GoGridError, match=words) as caught:
        read(find(str(tmp_path / name)))
    assert caught.value.remedy


def test_a_name_of_nothing_lists_the_days_that_come_along(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="gamer, laptop, night-owl, office"):
        find(str(tmp_path / "none"))
    with pytest.raises(GoGridError, match="cannot be read"):
        read(find(str(tmp_path)))
    with pytest.raises(GoGridError, match="cannot be made"):
        RecordingFile(tmp_path / "none" / "day.jsonl")
