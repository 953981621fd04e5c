"""The agent's side of the local socket: answers commands, pushes status to those who subscribed.

A unix socket (0600 in a 0700 folder) where the system has them, otherwise loopback TCP; the token is required on both.
A client that sends nonsense, too long a line or a wrong token is told so and dropped; others do not notice.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from gogrid_desktop.core.status import AgentStatus
from gogrid_desktop.errors import GoGridError
from gogrid_desktop.ipc import messages as m
from gogrid_desktop.ipc.commands import COMMAND
from gogrid_desktop.ipc.endpoint import Endpoint, new_token, write_endpoint
from gogrid_desktop.paths import private_dir

log = logging.getLogger(__name__)

HELLO_S = 10.0
PUSH_INTERVAL_S = 0.25
#: A unix socket's path must fit into sockaddr_un: 108 bytes on Linux, 104 on macOS.
_LONGEST_PATH = 100

Handler = Callable[[m.Command], Awaitable[m.Reply]]


@dataclass(eq=False)
class _Peer:
    writer: asyncio.StreamWriter
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class LocalServer:
    """Listens until closed. `handler` answers every command but `hello` and `subscribe`."""

    def __init__(self, endpoint_file: Path, handler: Handler, status: Callable[[], AgentStatus]) -> None:
        self._file = endpoint_file
        self._handler = handler
        self._status = status
        self._token = new_token()
        self._subscribers: set[_Peer] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._socket: Path | None = None

    async def open(self) -> None:
        """Bind and write the endpoint file."""
        private_dir(self._file.parent)
        start_unix = getattr(asyncio, "start_unix_server", None)
        if start_unix is not None:
            self._socket = self._file.with_suffix(".sock")
            if len(os.fsencode(self._socket)) > _LONGEST_PATH:
                self._socket = Path(tempfile.mkdtemp(prefix="gogrid-")) / "agent.sock"
            self._socket.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                self._server = await start_unix(self._accept, path=str(self._socket), limit=m.MAX_LINE_BYTES)
            finally:
                os.umask(before)
            transport, address = "unix", str(self._socket)
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=m.MAX_LINE_BYTES)
            port = self._server.sockets[0].getsockname()[1]
            transport, address = "tcp", f"127.0.0.1:{port}"
        write_endpoint(self._file, Endpoint(transport, address, self._token, os.getpid(), m.IPC_VERSION))

    async def close(self) -> None:
        """Stop listening, drop the clients and remove the endpoint file."""
        self._file.unlink(missing_ok=True)
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self._socket is not None:
            self._socket.unlink(missing_ok=True)
            if self._socket.parent != self._file.parent:
                self._socket.parent.rmdir()

    def changed(self) -> None:
        """The status changed: push it to every subscriber soon."""
        for peer in self._subscribers:
            peer.wake.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._connections.add(task)
        peer = _Peer(writer)
        pushing: asyncio.Task[None] | None = None
        try:
            if not await self._greeted(reader, writer):
                return
            while line := await reader.readline():
                command = await self._parse(line, writer)
                if command is None:
                    continue
                if isinstance(command, m.Subscribe):
                    peer.wake.set()
                    self._subscribers.add(peer)
                    pushing = pushing or asyncio.create_task(self._push(peer), name="push")
                    reply = m.Reply(id=command.id, ok=True)
                else:
                    reply = await self._answer(command)
                writer.write(m.encode(reply))
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            log.debug("a local client went away")
        except ValueError:  # a line over the limit
            log.warning("a local client sent too long a line and was dropped")
        finally:
            self._subscribers.discard(peer)
            self._connections.discard(task)
            if pushing is not None:
                pushing.cancel()
            writer.close()

    async def _greeted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            line = await asyncio.wait_for(reader.readline(), HELLO_S)
        except TimeoutError:
            return False
        hello = await self._parse(line, writer) if line else None
        if not isinstance(hello, m.Hello):
            return False
        if not hmac.compare_digest(hello.token, self._token):
            reply = m.Reply(
                id=hello.id,
                ok=False,
                code="token",
                message="The token is not the agent's.",
                remedy="Read it from the endpoint file anew.",
            )
        elif hello.version != m.IPC_VERSION:
            reply = m.Reply(
                id=hello.id,
                ok=False,
                code="version",
                message=f"The agent speaks version {m.IPC_VERSION} of the local protocol, not {hello.version}.",
                remedy="Restart the agent and the tray, so that both are of the installed version.",
            )
        else:
            reply = m.Reply(id=hello.id, ok=True, status=self._status())
        writer.write(m.encode(reply))
        await writer.drain()
        return reply.ok

    async def _parse(self, line: bytes, writer: asyncio.StreamWriter) -> m.Command | None:
        try:
            return COMMAND.validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            writer.write(m.encode(m.Reply(id=-1, ok=False, code="bad_command", message=f"{where}: {first['msg']}")))
            await writer.drain()
            return None

    async def _answer(self, command: m.Command) -> m.Reply:
        try:
            return await self._handler(command)
        except GoGridError as error:
            return m.Reply(
                id=command.id, ok=False, code=type(error).__name__, message=error.message, remedy=error.remedy
            )
        except Exception:
            log.exception("the command %s failed", command.type)
            return m.Reply(
                id=command.id,
                ok=False,
                code="internal",
                message=f"The command {command.type} failed.",
                remedy="The agent's log says more.",
            )

    async def _push(self, peer: _Peer) -> None:
        try:
            while True:
                await peer.wake.wait()
                peer.wake.clear()
                peer.writer.write(m.encode(m.Push(status=self._status())))
                await peer.writer.drain()
                await asyncio.sleep(PUSH_INTERVAL_S)
        except ConnectionError:
            self._subscribers.discard(peer)
