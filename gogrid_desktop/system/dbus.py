"""A connection to a message bus that is asked again and again, listens, and may go away at any time.

jeepney speaks the protocol. Here: one receiving thread, an answer within a second or none at all, and a connection that
is made anew, with everything that was listened to, once the bus is back. Source: the D-Bus specification.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from jeepney import DBusAddress, MatchRule, Message, MessageType, Properties, message_bus, new_method_call
from jeepney.io.threading import DBusConnection, open_dbus_connection
from jeepney.low_level import HeaderFields

LIMIT_S = 1.0
#: While something is listened to, a bus that went away is looked for so often.
AGAIN_S = 10.0

log = logging.getLogger(__name__)

Body = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """An object of a service, and the interface of it that is meant."""

    name: str
    path: str
    interface: str

    @property
    def address(self) -> DBusAddress:
        return DBusAddress(self.path, bus_name=self.name, interface=self.interface)


@dataclass(frozen=True, slots=True)
class _Ear:
    rule: MatchRule
    key: tuple[str, str, str]
    heard: Callable[[Body], None]


class Bus:
    """Thread-safe. Nothing it does raises for what a bus or a service does; it is opened when it is first needed."""

    def __init__(self, which: Literal["SESSION", "SYSTEM"]) -> None:
        self._which = which
        self._connection: DBusConnection | None = None
        self._opening = threading.Lock()
        self._waiting: dict[int, Future[Message]] = {}
        self._ears: list[_Ear] = []
        self._closed = threading.Event()

    def call(self, service: Service, method: str, signature: str = "", body: Body = ()) -> Body | None:
        """What the method returns; None without a bus, without the service, and where it refuses or is too slow."""
        return self._ask(new_method_call(service.address, method, signature or None, body))

    def get(self, service: Service, name: str) -> Any:
        """A property; None as for `call`."""
        answer = self._ask(Properties(service.address).get(name))
        return None if answer is None else answer[0][1]

    def listen(self, service: Service, signal: str, heard: Callable[[Body], None]) -> None:
        """Have `heard` called with each such signal's body, from a thread of the bus, which it must not ask itself.

        The bus sees to it that the service sent the signal. After the bus was away, `heard` is called with an empty
        body: what was said meanwhile is lost, look anew.
        """
        rule = MatchRule(
            type="signal", sender=service.name, path=service.path, interface=service.interface, member=signal
        )
        ear = _Ear(rule, (service.path, service.interface, signal), heard)
        self._ears.append(ear)
        if (connection := self._open()) is not None:
            self._attach(connection, ear)
        elif len(self._ears) == 1:
            threading.Thread(target=self._reopen, name=f"dbus {self._which.lower()}", daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        if self._connection is not None:
            self._connection.interrupt()

    def _ask(self, message: Message) -> Body | None:
        connection = self._open()
        return None if connection is None else self._answer(connection, message)

    def _answer(self, connection: DBusConnection, message: Message) -> Body | None:
        serial = next(connection.outgoing_serial)
        answer = self._waiting[serial] = Future()
        try:
            connection.send(message, serial=serial)
            reply = answer.result(LIMIT_S)
        except (OSError, TimeoutError):
            return None
        finally:
            self._waiting.pop(serial, None)
        return reply.body if reply.header.message_type is MessageType.method_return else None

    def _attach(self, connection: DBusConnection, ear: _Ear) -> None:
        self._answer(connection, message_bus.AddMatch(ear.rule))

    def _open(self) -> DBusConnection | None:
        with self._opening:
            if self._connection is None and not self._closed.is_set():
                try:
                    self._connection = open_dbus_connection(self._which, enable_fds=True)
                except (OSError, KeyError, ValueError, RuntimeError) as error:
                    log.debug("no %s bus: %s", self._which.lower(), error)
                    return None
                name = f"dbus {self._which.lower()}"
                threading.Thread(target=self._receive, args=(self._connection,), name=name, daemon=True).start()
            return self._connection

    def _receive(self, connection: DBusConnection) -> None:
        try:
            while not self._closed.is_set():
                self._take(connection.receive())
        except Exception as error:  # noqa: BLE001 - whatever ends a connection: the next one is made below
            log.debug("the %s bus went away: %s", self._which.lower(), error)
        connection.close()
        self._connection = None
        for answer in tuple(self._waiting.values()):
            if not answer.done():
                answer.set_exception(ConnectionError("the bus went away"))
        if self._ears:
            self._reopen()

    def _reopen(self) -> None:
        """Listen again as soon as there is a bus."""
        while not self._closed.wait(AGAIN_S):
            if (connection := self._open()) is not None:
                for ear in tuple(self._ears):
                    self._attach(connection, ear)
                    ear.heard(())
                return

    def _take(self, message: Message) -> None:
        fields = message.header.fields
        answer = self._waiting.get(fields.get(HeaderFields.reply_serial, 0))
        if answer is not None:
            answer.set_result(message)
            return
        if message.header.message_type is not MessageType.signal:
            return
        key = (fields[HeaderFields.path], fields[HeaderFields.interface], fields[HeaderFields.member])
        for ear in tuple(self._ears):
            if ear.key == key:
                ear.heard(message.body)
