"""The local protocol. One JSON object per line; every command is answered by one `Reply` with its `id`.

The first command must be `hello` with the token of the endpoint file. After `subscribe`, the agent also sends a `Push`
with its whole status whenever it changes, at most four times a second. Plain dataclasses: the tray, which lives as long
as the session, needs no library for them. The agent checks what it is told with `commands`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, dataclass_transform

from gogrid_desktop.core.status import AgentStatus
from gogrid_desktop.ipc.plain import value_of

IPC_VERSION = 1
MAX_LINE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Within:
    """Of a number that is told: more than nothing, and at most this."""

    most: float

    def __get_pydantic_core_schema__(self, kind: Any, schema_of: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {**schema_of(kind), "gt": 0, "le": self.most}


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Line:
    """Every class below it is a frozen dataclass of keywords."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)


class Hello(Line):
    type: Literal["hello"] = "hello"
    id: int
    version: int = IPC_VERSION
    token: str


class GetStatus(Line):
    type: Literal["status"] = "status"
    id: int


class Subscribe(Line):
    type: Literal["subscribe"] = "subscribe"
    id: int


class Pause(Line):
    """Stop sharing: until switched on again, for `for_s` seconds (a snooze), or until the person is away."""

    type: Literal["pause"] = "pause"
    id: int
    for_s: Annotated[float, Within(7 * 86400)] | None = None
    until_away: bool = False


class Resume(Line):
    """Share again; ends a snooze too. For `anyway_s` seconds, whatever the soft rules say."""

    type: Literal["resume"] = "resume"
    id: int
    anyway_s: Annotated[float, Within(12 * 3600)] | None = None


class Drain(Line):
    """Take no new work, and pause when the last job has ended."""

    type: Literal["drain"] = "drain"
    id: int


class GetSettings(Line):
    type: Literal["get_settings"] = "get_settings"
    id: int


class PutSettings(Line):
    """Dotted names to values, all or none: `{"sharing.profile": "balanced"}`. The agent is their only writer."""

    type: Literal["put_settings"] = "put_settings"
    id: int
    values: dict[str, Any]


class Join(Line):
    """Enrol this node with an invite code. `allow_plaintext`: for good, where no keyring answers."""

    type: Literal["join"] = "join"
    id: int
    coordinator: str
    invite: str
    allow_plaintext: bool = False


class Stop(Line):
    """Release all leases and end the agent."""

    type: Literal["stop"] = "stop"
    id: int


Command = Hello | GetStatus | Subscribe | Pause | Resume | Drain | GetSettings | PutSettings | Join | Stop


class Reply(Line):
    """`ok` with `status` or `settings` where asked for, or an error with `code`, `message` and `remedy`."""

    type: Literal["reply"] = "reply"
    id: int
    ok: bool
    status: AgentStatus | None = None
    settings: dict[str, Any] | None = None
    code: str = ""
    message: str = ""
    remedy: str = ""


class Push(Line):
    type: Literal["push"] = "push"
    status: AgentStatus


Answer = Reply | Push


def encode(line: Line) -> bytes:
    """One line, newline included."""
    return json.dumps(line, default=_fields_of, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Answer:
    """What the agent says. Raises ValueError when it is neither answer."""
    answer = json.loads(line)
    kind: type[Answer] = Push if isinstance(answer, dict) and answer.get("type") == "push" else Reply
    return value_of(kind, answer)


def _fields_of(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}
