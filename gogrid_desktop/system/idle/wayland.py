"""Idle time of a Wayland session, told by the compositor: idle for a second, and no longer idle.

Source: wayland-protocols, staging/ext-idle-notify/ext-idle-notify-v1.xml. From version 2 on the notification looks at
input alone; that of version 1 is put off while a program inhibits idling, as for a film, which then counts as input.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from select import select

from gogrid_desktop.core.idle import Kind
from gogrid_desktop.system import wayland
from gogrid_desktop.system.wayland import DISPLAY, REGISTRY, SYNC, Event, WaylandError
from gogrid_desktop.system.x11 import wayland_session

NOTIFIER, SEAT = "ext_idle_notifier_v1", "wl_seat"
TIMEOUT_S = 1.0
#: A compositor that went away is looked for so often; one that answers nothing for so long says nothing.
AGAIN_S, HANGS_S = 10.0, 1.0
_SETTLES_S = 0.5
_GET_NOTIFICATION, _GET_INPUT_NOTIFICATION, _DESTROY = 1, 2, 0
_IDLED, _RESUMED = 0, 1
_ERROR, _DELETE_ID, _GLOBAL, _GLOBAL_REMOVE = 0, 1, 0, 1

log = logging.getLogger(__name__)


class WaylandIdle:
    """Connects when it is first asked. `clock`: monotonic, in seconds."""

    name = "wayland-idle-notify"
    kind = Kind.COUNTER
    notifies = True

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._one = threading.Lock()
        self._client: _Client | None = None
        self._not_before = -AGAIN_S
        self._closed = False

    def idle_s(self) -> float | None:
        client = self._connected()
        return None if client is None else client.idle_s()

    def watch_for_input(self, heard: Callable[[], None]) -> bool:
        client = self._connected()
        return client is not None and client.tell(heard)

    def close(self) -> None:
        with self._one:
            self._closed = True
            if self._client is not None:
                self._client.close()

    def _connected(self) -> _Client | None:
        with self._one:
            if self._client is not None and not self._client.lost:
                return self._client
            if self._closed or not wayland_session() or self._clock() < self._not_before:
                return None
            self._not_before = self._clock() + AGAIN_S
            try:
                self._client = _Client(wayland.connect(), self._clock)
            except OSError as error:
                log.debug("no compositor: %s", error)
                return None
            return self._client


class _Client:
    """One connection. A thread reads what the compositor says; it has nothing to do while nothing changes."""

    def __init__(self, connection: socket.socket, clock: Callable[[], float]) -> None:
        self.lost = False
        self._connection, self._clock = connection, clock
        self._lock = threading.Lock()
        self._settled = threading.Event()
        self._next_id = wayland.FIRST_ID
        self._notifier: tuple[int, int] | None = None  # its number and version
        self._seats: dict[int, int | None] = {}  # the global's name, and the notification for it
        self._idled: dict[int, float | None] = {}  # the notification, and since when it is idle
        self._asked_at: float | None = None
        self._heard: Callable[[], None] | None = None
        connection.setblocking(False)
        self._send(wayland.get_registry())
        self._ask()
        threading.Thread(target=self._run, name="wayland", daemon=True).start()
        self._settled.wait(_SETTLES_S)

    def idle_s(self) -> float | None:
        with self._lock:
            if self.lost or self._hangs() or not self._idled:
                return None
            idle_since = [at for at in self._idled.values() if at is not None]
            if len(idle_since) < len(self._idled):
                return 0.0
            return self._clock() - max(idle_since) + TIMEOUT_S

    def tell(self, heard: Callable[[], None]) -> bool:
        with self._lock:
            idle = not self.lost and not self._hangs() and None not in self._idled.values() and bool(self._idled)
            if idle:
                self._heard = heard
            return idle

    def close(self) -> None:
        with self._lock:
            self._heard = None
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _hangs(self) -> bool:
        """Ask whether it is alive; whether it has left the question before unanswered."""
        if self._asked_at is not None:
            return self._clock() - self._asked_at > HANGS_S
        self._ask()
        return False

    def _ask(self) -> None:
        self._asked_at = self._clock()
        self._send(wayland.sync())

    def _send(self, requests: bytes) -> None:
        with suppress(OSError):  # the thread sees that the connection has ended; one that takes nothing hangs
            self._connection.send(requests)

    def _run(self) -> None:
        received = bytearray()
        try:
            while select([self._connection], [], []) and (data := self._connection.recv(4096)):
                received += data
                for event in wayland.events(received):
                    self._take(event)
        except OSError as error:
            log.debug("the compositor is left: %s", error)
        with self._lock:
            self.lost = True
            heard, self._heard = self._heard, None
        self._connection.close()
        self._settled.set()
        if heard is not None:
            heard()

    def _take(self, event: Event) -> None:
        heard, what = None, (event.object_id, event.opcode)
        with self._lock:
            if event.object_id in self._idled:
                self._idled[event.object_id] = self._clock() if event.opcode == _IDLED else None
                if event.opcode == _RESUMED:
                    heard, self._heard = self._heard, None
            elif what == (REGISTRY, _GLOBAL):
                interface, end = event.string(4)
                self._announced(event.uint(), interface, event.uint(end))
            elif what == (REGISTRY, _GLOBAL_REMOVE):
                self._removed(event.uint())
            elif what == (DISPLAY, _DELETE_ID) and event.uint() == SYNC:
                self._asked_at = None
                self._settled.set()
            elif what == (DISPLAY, _ERROR):
                raise WaylandError(event.string(8)[0])
        if heard is not None:
            heard()

    def _announced(self, name: int, interface: str, version: int) -> None:
        if interface == SEAT:
            self._seats[name] = None
        elif interface == NOTIFIER and self._notifier is None:
            self._notifier = self._bind(name, interface, min(version, 2)), min(version, 2)
        if self._notifier is None:
            return
        notifier, notifier_version = self._notifier
        opcode = _GET_INPUT_NOTIFICATION if notifier_version >= 2 else _GET_NOTIFICATION
        for seat in [seat for seat, notification in self._seats.items() if notification is None]:
            seat_id, notification = self._bind(seat, SEAT, 1), self._new_id()
            self._send(wayland.request(notifier, opcode, notification, int(TIMEOUT_S * 1000), seat_id))
            self._seats[seat], self._idled[notification] = notification, None

    def _removed(self, name: int) -> None:
        notification = self._seats.pop(name, None)
        if notification is not None:
            del self._idled[notification]
            self._send(wayland.request(notification, _DESTROY))

    def _bind(self, name: int, interface: str, version: int) -> int:
        new_id = self._new_id()
        self._send(wayland.bind(name, interface, version, new_id))
        return new_id

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1
