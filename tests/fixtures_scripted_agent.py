"""An agent's local socket that plays a script: for tests of tray and command line without an agent."""

from __future__ import annotations

import json
import os
import queue
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gogrid_desktop.core.profiles import PROFILE_LIMITS, Profile
from gogrid_desktop.core.status import AgentState, AgentStatus
from gogrid_desktop.ipc.endpoint import Endpoint, new_token, write_endpoint
from gogrid_desktop.ipc.messages import IPC_VERSION, Push, Reply, encode

SHARING = AgentStatus(
    version="0.1",
    pid=1,
    state=AgentState.SHARING,
    profile=Profile.AGGRESSIVE,
    headline="Sharing",
    reason="you are away",
    limits=PROFILE_LIMITS[Profile.AGGRESSIVE],
    connected=True,
    jobs_running=3,
    tokens_per_s=41.4,
)

#: One true-looking status for each of the seven states.
STATUSES: dict[AgentState, AgentStatus] = {
    AgentState.STARTING: replace(
        SHARING, state=AgentState.STARTING, headline="Starting", reason="loading the model", jobs_running=0
    ),
    AgentState.SHARING: SHARING,
    AgentState.GENTLE: replace(
        SHARING,
        state=AgentState.GENTLE,
        headline="Sharing gently",
        reason="you typed 12 s ago",
        what_next="Balanced in 2 min if you stay away",
    ),
    AgentState.PAUSED: replace(
        SHARING,
        state=AgentState.PAUSED,
        headline="Paused",
        reason="you switched sharing off",
        what_next="Stays off until you switch it on",
        sharing=False,
        jobs_running=0,
    ),
    AgentState.IDLE: replace(
        SHARING,
        state=AgentState.IDLE,
        headline="Nothing to do",
        reason="the grid has no job for this computer",
        jobs_running=0,
    ),
    AgentState.OFFLINE: replace(
        SHARING,
        state=AgentState.OFFLINE,
        headline="Offline",
        reason="the grid does not answer",
        what_next="Trying again in 40 s",
        connected=False,
        jobs_running=0,
    ),
    AgentState.NEEDS_YOU: replace(
        SHARING,
        state=AgentState.NEEDS_YOU,
        headline="Needs you",
        problem="this computer has not joined a grid yet",
        jobs_running=0,
    ),
}

Command = dict[str, Any]


class ScriptedAgent:
    """Listens on a unix socket (or loopback TCP), answers hello and subscribe, records every other command.

    `on_command` may return the status to push after the command; `refusal` makes it refuse every command after hello;
    `mute` makes it read and never answer; `hello_refusal` makes it turn everybody away as another version does.
    """

    def __init__(self, endpoint_file: Path, status: AgentStatus = SHARING, transport: str = "unix") -> None:
        self.status = status
        self.commands: queue.Queue[Command] = queue.Queue()
        self.on_command: Callable[[Command], AgentStatus | None] = lambda command: None
        self.refusal: str = ""
        self.hello_refusal: str = ""
        self.mute = False
        self.hellos = 0
        self._endpoint_file = endpoint_file
        self._clients: list[socket.socket] = []
        self._lock = threading.Lock()
        self._folder = tempfile.mkdtemp(prefix="gg-")
        self._token = new_token()
        if transport == "unix":
            self._server = socket.socket(socket.AF_UNIX)
            address = f"{self._folder}/agent.sock"
            self._server.bind(address)
        else:
            self._server = socket.socket()
            self._server.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._server.listen()
        self._server.settimeout(0.05)  # closing it does not wake who waits in accept
        self._closing = False
        self.endpoint = Endpoint(transport, address, self._token, os.getpid(), IPC_VERSION)
        endpoint_file.parent.mkdir(parents=True, exist_ok=True)
        write_endpoint(endpoint_file, self.endpoint)
        self._threads = [threading.Thread(target=self._accept, name="scripted agent", daemon=True)]
        self._threads[0].start()

    def push(self, status: AgentStatus) -> None:
        """Send `status` to everyone who subscribed."""
        self.status = status
        self.send(encode(Push(status=status)))

    def send(self, line: bytes) -> None:
        """Send raw bytes to every client."""
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            client.sendall(line)

    def hang_up(self) -> None:
        """Break the connections there are; new ones are accepted."""
        with self._lock:
            clients, self._clients = self._clients, []
        for client in clients:
            with suppress(OSError):  # gone already
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End as a killed agent does: the endpoint file stays."""
        if self._closing:
            return
        self._closing = True
        self._threads[0].join()
        self._server.close()
        self.hang_up()
        for thread in self._threads[1:]:
            thread.join(5)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._server.accept()
            except TimeoutError:
                continue
            with self._lock:
                self._clients.append(client)
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as lines:
            try:
                for line in lines:
                    if not self.mute:
                        self._answer(client, json.loads(line))
            except OSError:
                return

    def _answer(self, client: socket.socket, command: Command) -> None:
        known = command["id"]
        match command["type"]:
            case "hello":
                self.hellos += 1
                client.sendall(encode(self._greeting(command)))
            case "subscribe":
                client.sendall(encode(Reply(id=known, ok=True)) + encode(Push(status=self.status)))
            case "status":
                client.sendall(encode(Reply(id=known, ok=True, status=self.status)))
            case _:
                self.commands.put(command)
                client.sendall(encode(Reply(id=known, ok=not self.refusal, message=self.refusal)))
                following = self.on_command(command)
                if following is not None:
                    self.push(following)

    def _greeting(self, hello: Command) -> Reply:
        if hello["token"] != self._token:
            return Reply(id=hello["id"], ok=False, code="token", message="The token is not the agent's.")
        if self.hello_refusal:
            return Reply(id=hello["id"], ok=False, code="version", message=self.hello_refusal)
        return Reply(id=hello["id"], ok=True, status=self.status)
