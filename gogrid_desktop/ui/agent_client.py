"""The tray's end of the local socket: asks the agent for its status and tells it what the person chose.

It lives in Qt's event loop, never blocks it, and never gives up: whatever breaks, it drops the line, reads the
agent's address again and tries anew. A line that falls silent is noticed by asking, so that an agent that hangs is
never shown as sharing.
"""

from __future__ import annotations

import logging
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtNetwork import QAbstractSocket, QLocalSocket, QTcpSocket

from gogrid_desktop.errors import AgentUnavailable
from gogrid_desktop.ipc.endpoint import Endpoint, read_endpoint
from gogrid_desktop.ipc.messages import (
    IPC_VERSION,
    MAX_LINE_BYTES,
    GetStatus,
    Hello,
    Line,
    Pause,
    Push,
    Reply,
    Resume,
    Stop,
    Subscribe,
    decode,
    encode,
)
from gogrid_desktop.ui.view import Connection, Link

log = logging.getLogger(__name__)

FIRST_RETRY_MS = 250
LAST_RETRY_MS = 4000
#: An answer to hello must have come within this time. A line that was silent for as long is asked whether it lives, and
#: must answer within as long again.
ALIVE_MS = 5000

OTHER_VERSION = "the running agent is another version of GoGrid; quit it and start GoGrid again"


class AgentClient(QObject):
    """Signals: `statusChanged(AgentStatus)`, `connectionChanged(Connection)`, `replied(Reply)` for each command."""

    statusChanged = Signal(object)
    connectionChanged = Signal(object)
    replied = Signal(object)

    def __init__(self, endpoint_file: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.connection = Connection()
        self._endpoint_file = endpoint_file
        self._socket: QLocalSocket | QTcpSocket | None = None
        self._token = ""
        self._buffer = b""
        self._last_id = 0
        self._hello_id = 0
        self._asked: set[int] = set()
        self._heard = False
        self._retry = QTimer(self, singleShot=True)
        self._retry.timeout.connect(self._connect)
        self._alive = QTimer(self, interval=ALIVE_MS)
        self._alive.timeout.connect(self._check_alive)

    def start(self) -> None:
        """Connect now, or go on trying until `close`."""
        self._connect()

    def close(self) -> None:
        """Hang up and stay away."""
        self._retry.stop()
        self._drop()

    def pause(self, for_s: float | None = None) -> bool:
        """Stop sharing, for `for_s` seconds or until `resume`. False when no agent listens (so for all commands)."""
        return self._command(Pause(id=self._next_id(), for_s=for_s))

    def resume(self) -> bool:
        return self._command(Resume(id=self._next_id()))

    def stop(self) -> bool:
        """Ask the agent to give its work back and end."""
        return self._command(Stop(id=self._next_id()))

    def _command(self, command: Line) -> bool:
        if self.connection.link is not Link.CONNECTED:
            return False
        self._send(command)
        return True

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _send(self, line: Line) -> None:
        if self._socket is not None:
            self._socket.write(encode(line))

    def _connect(self) -> None:
        self._drop()
        try:
            endpoint = read_endpoint(self._endpoint_file)
        except AgentUnavailable:
            self._fail("")
            return
        if endpoint.version != IPC_VERSION:
            self._fail(OTHER_VERSION, Link.REFUSED)
            return
        self._token = endpoint.token
        self._alive.start()
        self._open(endpoint)

    def _open(self, endpoint: Endpoint) -> None:
        # A local socket reports success or failure from within its call to connect: all must be in place before it.
        if endpoint.transport == "unix":
            local = QLocalSocket(self)
            self._socket = local
            local.connected.connect(self._greet)
            local.readyRead.connect(self._read)
            local.errorOccurred.connect(self._broken)
            local.connectToServer(endpoint.address)
            return
        tcp = QTcpSocket(self)
        self._socket = tcp
        tcp.connected.connect(self._greet)
        tcp.readyRead.connect(self._read)
        tcp.errorOccurred.connect(self._broken)
        host, _, port = endpoint.address.rpartition(":")
        tcp.connectToHost(host, min(int(port), 65535) if port.isdecimal() else 0)

    def _drop(self) -> None:
        self._alive.stop()
        self._buffer = b""
        self._heard = False
        self._asked.clear()
        if self._socket is not None:
            socket, self._socket = self._socket, None
            socket.blockSignals(True)
            socket.abort()
            socket.deleteLater()

    def _fail(self, problem: str, link: Link = Link.SEARCHING) -> None:
        self._drop()
        failures = self.connection.failures + 1
        self._retry.start(min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** min(failures - 1, 10)))
        self._set(Connection(link, failures, problem))

    def _set(self, connection: Connection) -> None:
        if connection != self.connection:
            self.connection = connection
            self.connectionChanged.emit(connection)

    def _greet(self) -> None:
        self._hello_id = self._next_id()
        self._asked.add(self._hello_id)
        self._send(Hello(id=self._hello_id, token=self._token))

    def _broken(self, _error: QLocalSocket.LocalSocketError | QAbstractSocket.SocketError) -> None:
        self._fail("")

    def _check_alive(self) -> None:
        if self._asked or self.connection.link is not Link.CONNECTED:
            self._fail("the agent does not answer")
            return
        if self._heard:
            self._heard = False
            return
        question = GetStatus(id=self._next_id())
        self._asked.add(question.id)
        self._send(question)

    def _read(self) -> None:
        socket = self._socket
        if socket is None:
            return
        self._buffer += socket.readAll().data()
        self._heard = True
        while self._socket is socket and b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            self._take(line)
        if len(self._buffer) > MAX_LINE_BYTES:
            self._fail(OTHER_VERSION, Link.REFUSED)

    def _take(self, line: bytes) -> None:
        try:
            answer = decode(line)
        except ValueError as error:
            log.warning("the agent's answer was not understood: %s", type(error).__name__)
            self._fail(OTHER_VERSION, Link.REFUSED)
            return
        match answer:
            case Push():
                self.statusChanged.emit(answer.status)
            case Reply(id=self._hello_id):
                self._take_hello(answer)
            case Reply():
                self._take_reply(answer)

    def _take_hello(self, reply: Reply) -> None:
        self._asked.discard(reply.id)
        if not reply.ok:
            # A wrong token is an agent started anew since we read its address; the next attempt reads it again.
            link = Link.SEARCHING if reply.code == "token" else Link.REFUSED
            self._fail(f"{reply.message} {reply.remedy}".strip(), link)
            return
        self._set(Connection(Link.CONNECTED))
        if reply.status is not None:
            self.statusChanged.emit(reply.status)
        subscribe = Subscribe(id=self._next_id())
        self._asked.add(subscribe.id)
        self._send(subscribe)

    def _take_reply(self, reply: Reply) -> None:
        own_question = reply.id in self._asked
        self._asked.discard(reply.id)
        if reply.status is not None:
            self.statusChanged.emit(reply.status)
        if not own_question:
            self.replied.emit(reply)
