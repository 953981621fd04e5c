"""Lines of the local protocol as values: what is written is read back, and anything else is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.status import AgentState, AgentStatus, Reason, ThrottleStats, WorkerView
from gogrid_desktop.ipc import messages as m
from gogrid_desktop.ipc.commands import COMMAND

STATUS = AgentStatus(
    "1.2",
    7,
    state=AgentState.GENTLE,
    profile=Profile.BALANCED,
    reasons=(Reason("presence", Profile.CONSERVATIVE, "you are there – \udcff"),),
    idle_s=3,
    snooze_until=None,
    signals=("a", "b"),
    workers=(WorkerView("m", "ready", pid=9),),
    throttle=ThrottleStats(rate=0.5),
)
COMMANDS = [
    m.Hello(id=1, token="t"),
    m.GetStatus(id=2),
    m.Pause(id=3, for_s=60.0),
    m.Pause(id=4, until_away=True),
    m.Resume(id=5, anyway_s=3600),
    m.PutSettings(id=6, values={"sharing.profile": "balanced", "gpu.disabled": ["1"]}),
    m.Join(id=7, coordinator="https://a", invite="ggi_x"),
    m.Stop(id=8),
]


@pytest.mark.parametrize(
    "answer",
    [
        m.Push(status=STATUS),
        m.Reply(id=1, ok=True, status=STATUS, settings={"a": {"b": [1, None, "c"]}}),
        m.Reply(id=2, ok=False, code="token", message="no", remedy="yes"),
    ],
)
def test_what_the_agent_says_is_read_back_as_it_was(answer: m.Answer) -> None:
    line = m.encode(answer)
    assert line.count(b"\n") == 1
    assert m.decode(line) == answer


def told(change: dict[str, Any], drop: str = "") -> bytes:
    whole = json.loads(m.encode(m.Push(status=STATUS)))
    whole["status"].update(change)
    whole["status"].pop(drop, None)
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"type": "other", "id": 1, "ok": true}',
        b'{"type": "push"}',
        b'{"type": "reply", "id": "1", "ok": true}',
        b'{"type": "reply", "id": 1, "ok": 1}',
        told({"new": 1}),
        told({}, drop="pid"),
        told({"state": "dreaming"}),
        told({"profile": 9}),
        told({"pid": True}),
        told({"idle_s": "3"}),
        told({"signals": "a"}),
        told({"reasons": [{"rule": "x"}]}),
    ],
)
def test_what_is_no_answer_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        m.decode(line)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_read_back_as_it_was(command: m.Command) -> None:
    assert COMMAND.validate_json(m.encode(command)) == command


@pytest.mark.parametrize(
    "command",
    [
        replace(m.Pause(id=1), for_s=-1.0),
        replace(m.Pause(id=1), for_s=1e9),
        replace(m.Resume(id=1), anyway_s=1e6),
    ],
)
def test_a_command_out_of_bounds_is_refused(command: m.Command) -> None:
    with pytest.raises(ValidationError):
        COMMAND.validate_json(m.encode(command))


def test_a_command_with_more_in_it_than_there_may_be_is_refused() -> None:
    with pytest.raises(ValidationError):
        COMMAND.validate_json(b'{"type": "status", "id": 1, "more": 2}')
