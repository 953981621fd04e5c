"""The command line's side of the local socket: blocking, one command at a time. (The tray uses Qt's sockets.)"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from gogrid_desktop.core.status import AgentStatus
from gogrid_desktop.errors import AgentUnavailable, GoGridError, VersionMismatch
from gogrid_desktop.ipc import messages as m
from gogrid_desktop.ipc.endpoint import Endpoint, read_endpoint


class CommandFailed(GoGridError):
    """The agent refused a command; `code` names the error class on its side."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.code = code


class LocalClient:
    """One greeted connection. Raises AgentUnavailable when no agent answers, VersionMismatch for another version."""

    def __init__(self, endpoint_file: Path, timeout_s: float = 10.0) -> None:
        endpoint = read_endpoint(endpoint_file)
        try:
            self._socket = _connect(endpoint, timeout_s)
        except OSError as error:
            raise AgentUnavailable(
                "No GoGrid agent answers for this user.", "Start it with: gogrid agent run"
            ) from error
        self._lines = self._socket.makefile("rb")
        try:
            self.greeting = self.call(m.Hello(id=0, token=endpoint.token))
        except CommandFailed as error:
            self.close()
            kind = VersionMismatch if error.code == "version" else AgentUnavailable
            raise kind(error.message, error.remedy) from error
        except AgentUnavailable:
            self.close()
            raise

    def __enter__(self) -> LocalClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def call(self, command: m.Command) -> m.Reply:
        """Send a command and wait for its reply. Raises CommandFailed, AgentUnavailable."""
        try:
            self._socket.sendall(m.encode(command))
            while not isinstance(answer := self._read(), m.Reply):
                pass
        except OSError as error:
            raise AgentUnavailable("The agent stopped answering.", "Look at its log, or restart it.") from error
        if not answer.ok:
            raise CommandFailed(answer.code, answer.message, answer.remedy)
        return answer

    def watch(self) -> Iterator[AgentStatus]:
        """Every status the agent pushes, until it goes away."""
        self.call(m.Subscribe(id=1))
        self._socket.settimeout(None)
        while True:
            answer = self._read()
            if isinstance(answer, m.Push):
                yield answer.status

    def _read(self) -> m.Answer:
        line = self._lines.readline(m.MAX_LINE_BYTES)
        if not line:
            raise AgentUnavailable("The agent closed the connection.", "Start it again with: gogrid agent run")
        try:
            return m.decode(line)
        except ValueError as error:
            raise VersionMismatch(
                "The agent's answer cannot be read.", "Restart it, so that it is of the installed version."
            ) from error


def call(endpoint_file: Path, command: m.Command, timeout_s: float = 10.0) -> m.Reply:
    """Connect, send one command, return its reply. Raises AgentUnavailable, VersionMismatch, CommandFailed."""
    with LocalClient(endpoint_file, timeout_s) as client:
        return client.call(command)


def _connect(endpoint: Endpoint, timeout_s: float) -> socket.socket:
    if endpoint.transport == "unix":
        connection = socket.socket(getattr(socket, "AF_UNIX"), socket.SOCK_STREAM)  # noqa: B009 - not on every platform
        connection.settimeout(timeout_s)
        try:
            connection.connect(endpoint.address)
        except OSError:
            connection.close()
            raise
        return connection
    host, _, port = endpoint.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout_s)
