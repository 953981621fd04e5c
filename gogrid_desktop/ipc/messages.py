"""The local protocol. One JSON object per line; every command is answered by one `Reply` with its `id`.

The first command must be `hello` with the token of the endpoint file. After `subscribe`, the agent also sends a `Push`
with its whole status whenever it changes, at most four times a second.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gogrid_desktop.core.status import AgentStatus

IPC_VERSION = 1
MAX_LINE_BYTES = 2**20


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    for_s: Annotated[float, Field(gt=0, le=7 * 86400)] | None = None
    until_away: bool = False


class Resume(Line):
    """Share again; ends a snooze too. For `anyway_s` seconds, whatever the soft rules say."""

    type: Literal["resume"] = "resume"
    id: int
    anyway_s: Annotated[float, Field(gt=0, le=12 * 3600)] | None = None


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


Command = Annotated[
    Hello | GetStatus | Subscribe | Pause | Resume | Drain | GetSettings | PutSettings | Join | Stop,
    Field(discriminator="type"),
]
COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


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


Answer = Annotated[Reply | Push, Field(discriminator="type")]
ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)


def encode(line: Line) -> bytes:
    """One line, newline included."""
    return line.model_dump_json().encode() + b"\n"
