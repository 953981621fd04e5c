"""The local socket: a token is needed, nonsense is answered, other users are kept out, statuses are pushed."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gogrid_desktop.core.status import AgentStatus
from gogrid_desktop.errors import AgentUnavailable, ConfigError, VersionMismatch
from gogrid_desktop.ipc import messages as m
from gogrid_desktop.ipc.client import CommandFailed, LocalClient, call
from gogrid_desktop.ipc.endpoint import Endpoint, read_endpoint, write_endpoint
from gogrid_desktop.ipc.server import LocalServer


class Agent:
    """Answers commands as the real one does, as far as the socket is concerned."""

    def __init__(self, file: Path) -> None:
        self.current = AgentStatus(version="test", pid=1)
        self.seen: list[m.Command] = []
        self.server = LocalServer(file, self.answer, lambda: self.current)

    async def answer(self, command: m.Command) -> m.Reply:
        self.seen.append(command)
        match command:
            case m.PutSettings():
                raise ConfigError("sharing.profile", "x", "one of a, b")
            case m.Stop():
                raise ZeroDivisionError
            case _:
                return m.Reply(id=command.id, ok=True, status=self.current)


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    agent = Agent(tmp_path / "run" / "agent.json")
    await agent.server.open()
    yield agent
    await agent.server.close()


def file_of(tmp_path: Path) -> Path:
    return tmp_path / "run" / "agent.json"


async def test_a_command_is_answered(agent: Agent, tmp_path: Path) -> None:
    reply = await asyncio.to_thread(call, file_of(tmp_path), m.Pause(id=7, for_s=60))
    assert (reply.id, reply.ok, reply.status) == (7, True, agent.current)
    assert agent.seen == [m.Pause(id=7, for_s=60)]


async def test_an_error_comes_with_its_remedy_and_the_connection_lives_on(agent: Agent, tmp_path: Path) -> None:
    def talk() -> None:
        with LocalClient(file_of(tmp_path)) as client:
            with pytest.raises(CommandFailed, match=r"sharing\.profile = 'x' is not allowed: one of a, b") as failed:
                client.call(m.PutSettings(id=1, values={"sharing.profile": "x"}))
            assert failed.value.code == "ConfigError"
            with pytest.raises(CommandFailed, match="The command stop failed"):
                client.call(m.Stop(id=2))
            assert client.call(m.GetStatus(id=3)).ok

    await asyncio.to_thread(talk)


async def test_files_and_socket_are_the_owners_alone(agent: Agent, tmp_path: Path) -> None:
    endpoint = read_endpoint(file_of(tmp_path))
    for path in (file_of(tmp_path), Path(endpoint.address)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can try as somebody else")
async def test_another_user_cannot_connect() -> None:
    """Tried for real: an ordinary user's process against the socket, in a folder that lets everybody in."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        agent = Agent(Path(folder) / "agent.json")
        await agent.server.open()
        address = read_endpoint(Path(folder) / "agent.json").address
        program = (
            "import socket, sys\n"
            "connect = lambda path: socket.socket(socket.AF_UNIX).connect(path)\n"
            "for path, do in ((sys.argv[1], connect), (sys.argv[2], open)):\n"
            "    try:\n        do(path)\n    except PermissionError:\n        print('refused')\n"
        )
        done = await asyncio.to_thread(
            subprocess.run,
            ["/usr/bin/python3", "-c", program, address, str(Path(folder) / "agent.json")],
            user=65534, group=65534, extra_groups=[], capture_output=True, text=True, cwd="/",
        )  # fmt: skip
        await agent.server.close()
    assert (done.stdout.split(), done.stderr) == (["refused", "refused"], "")


async def test_a_wrong_token_is_refused(agent: Agent, tmp_path: Path) -> None:
    file = file_of(tmp_path)
    write_endpoint(file, replace(read_endpoint(file), token="guess"))
    with pytest.raises(AgentUnavailable, match="The token is not the agent's"):
        await asyncio.to_thread(call, file, m.GetStatus(id=1))
    assert agent.seen == []


async def test_another_version_is_told_apart(agent: Agent, tmp_path: Path) -> None:
    replies = await exchange(
        tmp_path, m.encode(m.Hello(id=0, version=99, token=read_endpoint(file_of(tmp_path)).token))
    )
    assert (replies[0]["ok"], replies[0]["code"]) == (False, "version")


@pytest.mark.parametrize(
    "line", [b"nonsense\n", b'{"type":"pause","id":1,"for_s":-5}\n', b'{"type":"fly","id":1}\n', b"\xff\xfe\n"]
)
async def test_nonsense_is_answered_and_the_next_command_works(agent: Agent, tmp_path: Path, line: bytes) -> None:
    hello = m.encode(m.Hello(id=0, token=read_endpoint(file_of(tmp_path)).token))
    replies = await exchange(tmp_path, hello + line + m.encode(m.GetStatus(id=5)))
    assert [(reply["id"], reply["ok"]) for reply in replies] == [(0, True), (-1, False), (5, True)]
    assert replies[1]["code"] == "bad_command"


async def test_too_long_a_line_drops_the_client_and_nobody_else(agent: Agent, tmp_path: Path) -> None:
    hello = m.encode(m.Hello(id=0, token=read_endpoint(file_of(tmp_path)).token))
    replies = await exchange(tmp_path, hello + b"x" * (m.MAX_LINE_BYTES + 2**17))
    assert len(replies) == 1
    assert (await asyncio.to_thread(call, file_of(tmp_path), m.GetStatus(id=1))).ok


async def test_without_a_greeting_nothing_is_answered(agent: Agent, tmp_path: Path) -> None:
    assert await exchange(tmp_path, m.encode(m.Stop(id=1))) == []
    assert agent.seen == []


async def test_a_subscriber_sees_every_state_that_lasts(agent: Agent, tmp_path: Path) -> None:
    def watch(count: int) -> list[str]:
        with LocalClient(file_of(tmp_path)) as client:
            statuses = client.watch()
            return [next(statuses).headline for _ in range(count)]

    watching = asyncio.create_task(asyncio.to_thread(watch, 2))
    while not agent.server._subscribers:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    agent.current = replace(agent.current, headline="Paused")
    agent.server.changed()
    async with asyncio.timeout(10):
        assert await watching == ["Starting", "Paused"]


async def test_no_agent_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(AgentUnavailable, match="No GoGrid agent runs"):
        call(tmp_path / "agent.json", m.GetStatus(id=1))


async def test_an_endpoint_left_by_a_killed_agent_is_a_clear_error(agent: Agent, tmp_path: Path) -> None:
    endpoint = read_endpoint(file_of(tmp_path))
    await agent.server.close()
    write_endpoint(file_of(tmp_path), endpoint)
    with pytest.raises(AgentUnavailable, match="No GoGrid agent answers"):
        call(file_of(tmp_path), m.GetStatus(id=1))
    file_of(tmp_path).write_text('{"transport":')
    with pytest.raises(AgentUnavailable, match="cannot be read"):
        call(file_of(tmp_path), m.GetStatus(id=1))
    await agent.server.open()


async def test_an_answer_of_another_version_is_told_apart(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b'{"type":"greeting from the future"}\n')
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    file = tmp_path / "agent.json"
    write_endpoint(file, Endpoint("tcp", f"127.0.0.1:{port}", "token", 1, m.IPC_VERSION))
    with pytest.raises(VersionMismatch, match="cannot be read"):
        await asyncio.to_thread(call, file, m.GetStatus(id=1))
    server.close()


async def exchange(tmp_path: Path, sent: bytes) -> list[dict[str, object]]:
    """Send a first line, then the rest, close our side for writing, and return the lines that came back."""

    def talk() -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(read_endpoint(file_of(tmp_path)).address)
            received = b""
            try:
                hello, rest = sent.split(b"\n", 1)
                connection.sendall(hello + b"\n")
                received = connection.recv(65536)  # what is sent after the agent hung up would lose it
                connection.sendall(rest)
                connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(65536):
                    received += piece
            except (ConnectionError, TimeoutError):
                return received
            return received

    received = await asyncio.to_thread(talk)
    return [json.loads(line) for line in received.splitlines()]
