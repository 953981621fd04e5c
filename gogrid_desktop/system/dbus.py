"""A connection to a message bus that is asked again and again, listens, and may go away at any time.

jeepney speaks the protocol. Here: one receiving thread, an answer within a second or none at all, no service that is
started by being asked, and a connection that is made anew, with everything that was listened to, once the bus is back.
Source: the D-Bus specification.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from jeepney import DBusAddress, MatchRule, Message, MessageFlag, MessageType, Properties, message_bus, new_method_call
from jeepney.fds import FileDescriptor
from jeepney.io.threading import DBusConnection
from jeepney.low_level import HeaderFields

from gogrid_desktop.system.dbus_open import open_connection

LIMIT_S = 1.0
#: A service that did not answer is left alone for so long, unless its answer comes after all. While something is
#: listened to, a bus that went away is looked for so often.
AGAIN_S = 10.0

_BUS = "org.freedesktop.DBus"

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
    name: str
    asked_for: MatchRule
    rule: MatchRule
    heard: Callable[[Body], None]


class Bus:
    """Thread-safe. Nothing it does raises for what a bus or a service does; it is opened when it is first needed."""

    def __init__(self, which: Literal["SESSION", "SYSTEM"]) -> None:
        self._which = which
        self._connection: DBusConnection | None = None
        self._opening = threading.Lock()
        self._not_before = 0.0  # when a bus that hung is looked for again
        self._waiting: dict[int, Future[Message]] = {}
        self._late: dict[str, tuple[int, float]] = {}  # who does not answer: (to what, left alone until)
        self._owners: dict[str, str] = {}  # of the names that are listened to
        self._ears: list[_Ear] = []
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()

    def call(
        self, service: Service, method: str, signature: str = "", body: Body = (), *, returns: str | None = None
    ) -> Body | None:
        """What the method returns; None without a bus, without the service, and where it refuses or is too slow.

        `returns`: the signature that the answer has to have; one that has another is none.
        """
        reply = self._ask(service.name, new_method_call(service.address, method, signature or None, body))
        if reply is None or returns not in (None, reply.header.fields.get(HeaderFields.signature, "")):
            return None
        return tuple(reply.body)

    def get(self, service: Service, name: str, kind: str | None = None) -> Any:
        """A property; None as for `call`, and where it is not of the signature `kind`."""
        reply = self._ask(service.name, Properties(service.address).get(name))
        if reply is None or reply.header.fields.get(HeaderFields.signature) != "v":
            return None
        signature, value = reply.body[0]
        return value if kind in (None, signature) else None

    def there(self, name: str) -> bool | None:
        """Whether somebody serves this name now; None without a bus."""
        answer = self.call(Service(_BUS, "/org/freedesktop/DBus", _BUS), "NameHasOwner", "s", (name,), returns="b")
        return None if answer is None else bool(answer[0])

    def listen(self, service: Service, signal: str, heard: Callable[[Body], None], *, below: bool = False) -> None:
        """Have `heard` called with each such signal's body, from a thread of the bus, which it must not ask itself.

        Only what the service itself sent is heard; with `below` also of the objects below its path. After the bus was
        away, and when the service came or went, `heard` is called with an empty body: what was said meanwhile is lost,
        look anew.
        """
        rule = {"type": "signal", "interface": service.interface, "member": signal}
        rule["path_namespace" if below else "path"] = service.path
        ear = _Ear(service.name, MatchRule(sender=service.name, **rule), MatchRule(**rule), heard)
        with self._opening:
            first = not self._ears
            self._ears.append(ear)
        if (connection := self._open()) is not None:
            self._attach(connection, ear)
        elif first:
            self._begin(self._reopen)

    def close(self) -> None:
        self._closed.set()
        if (connection := self._connection) is not None:
            connection.interrupt()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(LIMIT_S)

    def _begin(self, what: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=what, args=arguments, name=f"dbus {self._which.lower()}", daemon=True)
        self._threads = [*(each for each in self._threads if each.is_alive()), thread]
        thread.start()

    def _ask(self, name: str, message: Message) -> Message | None:
        _, until = self._late.get(name, (0, 0.0))
        if time.monotonic() < until or (connection := self._open()) is None:
            return None
        message.header.flags |= MessageFlag.no_auto_start
        serial, answer = self._send(connection, message)
        try:
            reply = answer.result(LIMIT_S)
        except TimeoutError:
            if not answer.done():
                self._late[name] = (serial, time.monotonic() + AGAIN_S)
            return None
        except OSError:
            return None
        finally:
            self._waiting.pop(serial, None)
        return reply if reply.header.message_type is MessageType.method_return else None

    def _send(self, connection: DBusConnection, message: Message) -> tuple[int, Future[Message]]:
        serial = next(connection.outgoing_serial)
        answer = self._waiting[serial] = Future()
        try:
            connection.send(message, serial=serial)
        except OSError as error:
            answer.set_exception(error)
        return serial, answer

    def _attach(self, connection: DBusConnection, ear: _Ear) -> None:
        """Nothing of this is waited for: the bus does one after the other, and a bus that hangs does them later."""
        comes_and_goes = MatchRule(type="signal", sender=_BUS, interface=_BUS, member="NameOwnerChanged")
        comes_and_goes.add_arg_condition(0, ear.name)
        self._tell(connection, message_bus.AddMatch(comes_and_goes))
        serial, owner = self._send(connection, message_bus.GetNameOwner(ear.name))

        def known(answer: Future[Message]) -> None:
            self._waiting.pop(serial, None)
            if answer.exception() is None:
                reply = answer.result()
                found = reply.header.message_type is MessageType.method_return
                self._owners[ear.name] = reply.body[0] if found else ""

        owner.add_done_callback(known)
        self._tell(connection, message_bus.AddMatch(ear.asked_for))

    def _tell(self, connection: DBusConnection, message: Message) -> None:
        message.header.flags |= MessageFlag.no_reply_expected
        try:
            connection.send(message)
        except OSError as error:
            log.debug("the %s bus does not listen: %s", self._which.lower(), error)

    def _open(self) -> DBusConnection | None:
        with self._opening:
            if self._connection is None and not self._closed.is_set() and time.monotonic() >= self._not_before:
                try:
                    self._connection = open_connection(self._which, LIMIT_S)
                except (OSError, KeyError, ValueError, RuntimeError) as error:
                    log.debug("no %s bus: %s", self._which.lower(), error)
                    if isinstance(error, TimeoutError):
                        self._not_before = time.monotonic() + AGAIN_S
                    return None
                self._begin(self._receive, self._connection)
            return self._connection

    def _receive(self, connection: DBusConnection) -> None:
        try:
            while not self._closed.is_set():
                self._take(connection.receive())
        except Exception as error:  # noqa: BLE001 - whatever ends a connection: the next one is made below
            log.debug("the %s bus went away: %s", self._which.lower(), error)
        connection.close()
        self._connection = None
        self._late.clear()
        self._owners.clear()
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
                self._look_anew(self._ears)
                return

    def _take(self, message: Message) -> None:
        fields = message.header.fields
        serial = fields.get(HeaderFields.reply_serial, 0)
        if (answer := self._waiting.get(serial)) is not None:
            answer.set_result(message)
        elif message.header.message_type is not MessageType.signal:
            self._late = {name: late for name, late in self._late.items() if late[0] != serial}
            for value in message.body:
                if isinstance(value, FileDescriptor):
                    value.close()
        else:
            sender = fields.get(HeaderFields.sender)
            if sender == _BUS and fields[HeaderFields.member] == "NameOwnerChanged":
                name, _, owner = message.body
                self._owners[name] = owner
                self._look_anew([ear for ear in self._ears if ear.name == name])
            for ear in tuple(self._ears):
                # A signal that is meant for us alone comes whoever sent it, and whatever we asked the bus for.
                if sender == self._owners.get(ear.name) and ear.rule.matches(message):
                    ear.heard(message.body)

    @staticmethod
    def _look_anew(ears: list[_Ear]) -> None:
        for heard in dict.fromkeys(ear.heard for ear in ears):
            heard(())
