"""Idle time told by a Wayland compositor: against the compositor's side of the protocol, on a socket of its own."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_idle import eventually

from gogrid_desktop.core.idle import IdleFusion, Reading
from gogrid_desktop.system import wayland
from gogrid_desktop.system.idle.wayland import AGAIN_S, HANGS_S, TIMEOUT_S, WaylandIdle

SEAT, NOTIFIER = "wl_seat", "ext_idle_notifier_v1"
SEAT_NAME, NOTIFIER_NAME, SECOND_SEAT_NAME = 7, 9, 12


def packed(text: str) -> bytes:
    raw = text.encode() + b"\0"
    return struct.pack("=I", len(raw)) + raw.ljust((len(raw) + 3) // 4 * 4, b"\0")


class Compositor:
    """As libwayland behaves: objects have to exist, numbers to be new and in order, whatever else is an error."""

    def __init__(self, path: Path, version: int = 2, seats: tuple[int, ...] = (SEAT_NAME,)) -> None:
        self.path, self.version, self.seats = path, version, seats
        self.objects: dict[int, str] = {}
        self.highest = 1
        self.notifications: list[int] = []
        self.asked_for: list[str] = []
        self.errors: list[str] = []
        self.pings = 0
        self.answers = True
        self.clients: list[socket.socket] = []
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def say(self, object_id: int, opcode: int, body: bytes = b"") -> None:
        self.raw(struct.pack("=II", object_id, (8 + len(body)) << 16 | opcode) + body)

    def raw(self, data: bytes) -> None:
        self.clients[-1].sendall(data)

    def idled(self, which: int = 0) -> None:
        self.say(self.notifications[which], 0)

    def resumed(self, which: int = 0) -> None:
        self.say(self.notifications[which], 1)

    def announce(self, name: int, interface: str, version: int) -> None:
        self.say(2, 0, struct.pack("=I", name) + packed(interface) + struct.pack("=I", version))

    def answer(self, callback: int) -> None:
        self.say(callback, 0, struct.pack("=I", 0))
        self._delete(callback)

    def end(self) -> None:
        self.path.unlink(missing_ok=True)
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for client in self.clients:
            client.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        for client in self.clients:
            client.close()

    def _serve(self) -> None:
        try:
            while True:
                client, _ = self.listening.accept()
                self.clients.append(client)
                self.objects, self.notifications, self.highest = {1: "wl_display"}, [], 1
                waiting = b""
                while data := client.recv(4096):
                    waiting += data
                    while len(waiting) >= 8:
                        object_id, second = struct.unpack_from("=II", waiting)
                        body, waiting = waiting[8 : second >> 16], waiting[second >> 16 :]
                        self._do(self.objects.get(object_id, "nothing"), second & 0xFFFF, body, object_id)
        except OSError:
            return

    def _new(self, number: int, interface: str) -> None:
        if number in self.objects or number > self.highest + 1:
            self.errors.append(f"{number} cannot be a new {interface}")
        self.highest = max(self.highest, number)
        self.objects[number] = interface

    def _delete(self, number: int) -> None:
        del self.objects[number]
        self.say(1, 1, struct.pack("=I", number))

    def _do(self, interface: str, opcode: int, body: bytes, object_id: int) -> None:
        match interface, opcode:
            case "wl_display", 0:
                (number,) = struct.unpack("=I", body)
                self._new(number, "wl_callback")
                self.pings += 1
                if self.answers:
                    self.answer(number)
            case "wl_display", 1:
                self._new(*struct.unpack("=I", body), "wl_registry")
                for seat in self.seats[:1]:
                    self.announce(seat, SEAT, 8)
                self.announce(1, "wl_compositor", 5)
                if self.version:
                    self.announce(NOTIFIER_NAME, NOTIFIER, self.version)
                for seat in self.seats[1:]:
                    self.announce(seat, SEAT, 8)
            case "wl_registry", 0:
                name, length = struct.unpack_from("=II", body)
                text = body[8 : 8 + length].rstrip(b"\0").decode()
                version, number = struct.unpack_from("=II", body, 8 + (length + 3) // 4 * 4)
                known = {NOTIFIER_NAME: (NOTIFIER, self.version), SEAT_NAME: (SEAT, 8), SECOND_SEAT_NAME: (SEAT, 8)}
                if known.get(name, ("", 0))[0] != text or version > known[name][1]:
                    self.errors.append(f"{name} is no {text} {version}")
                self._new(number, text)
                if text == SEAT:
                    self.say(number, 0, struct.pack("=I", 3))  # capabilities
            case "ext_idle_notifier_v1", 1 | 2:
                number, timeout_ms, seat = struct.unpack("=III", body)
                self.asked_for.append("input" if opcode == 2 else "idle")
                if timeout_ms != TIMEOUT_S * 1000 or self.objects.get(seat) != SEAT or opcode > self.version:
                    self.errors.append(f"a notification of {timeout_ms} ms for {self.objects.get(seat)}")
                self._new(number, "ext_idle_notification_v1")
                self.notifications.append(number)
            case "ext_idle_notification_v1", 0:
                self._delete(object_id)
            case _:
                self.errors.append(f"request {opcode} of {interface}")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-5")
    return tmp_path / "wayland-5"


@pytest.fixture
def compositor(place: Path) -> Iterator[Compositor]:
    it = Compositor(place)
    yield it
    it.end()
    assert it.errors == []


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def probe(place: Path, clock: Clock) -> Iterator[WaylandIdle]:
    it = WaylandIdle(clock)
    yield it
    it.close()


def begins(compositor: Compositor, probe: WaylandIdle) -> bool:
    return probe.idle_s() == 0.0 and eventually(lambda: len(compositor.notifications) == len(compositor.seats))


def comes_to(probe: WaylandIdle, idle_s: float | None) -> bool:
    return eventually(lambda: probe.idle_s() == idle_s)


def test_it_grows_from_a_second_on_after_the_compositor_said_idle(
    compositor: Compositor, probe: WaylandIdle, clock: Clock
) -> None:
    assert begins(compositor, probe)
    assert compositor.asked_for == ["input"]
    compositor.idled()
    assert comes_to(probe, TIMEOUT_S)
    clock.now += 0.5
    assert probe.idle_s() == TIMEOUT_S + 0.5
    compositor.resumed()
    assert comes_to(probe, 0.0)


def test_an_old_compositor_is_asked_for_what_it_has(place: Path, probe: WaylandIdle) -> None:
    old = Compositor(place, version=1)
    assert begins(old, probe)
    old.idled()
    assert comes_to(probe, TIMEOUT_S)
    assert (old.asked_for, old.errors) == (["idle"], [])
    old.end()


def test_a_later_version_is_used_as_the_second(place: Path, probe: WaylandIdle) -> None:
    new = Compositor(place, version=3)
    assert begins(new, probe)
    assert (new.asked_for, new.errors) == (["input"], [])
    new.end()


@pytest.mark.parametrize(("version", "seats"), [(0, (SEAT_NAME,)), (2, ())])
def test_without_the_extension_or_a_seat_nothing_is_known(
    place: Path, version: int, seats: tuple[int, ...], probe: WaylandIdle
) -> None:
    bare = Compositor(place, version, seats)
    assert probe.idle_s() is None
    assert not probe.watch_for_input(lambda: None)
    if not version:
        bare.version = 2
        bare.announce(NOTIFIER_NAME, NOTIFIER, 2)
    else:
        bare.announce(SEAT_NAME, SEAT, 8)
    assert comes_to(probe, 0.0)
    assert bare.errors == []
    bare.end()


def test_the_person_is_away_when_no_seat_is_used(place: Path, probe: WaylandIdle, clock: Clock) -> None:
    two = Compositor(place, seats=(SEAT_NAME, SECOND_SEAT_NAME))
    assert begins(two, probe)
    assert eventually(lambda: len(two.notifications) == 2)
    two.idled(0)
    assert begins(two, probe)
    two.idled(1)
    assert comes_to(probe, TIMEOUT_S)
    two.resumed(0)
    assert comes_to(probe, 0.0)
    two.say(2, 1, struct.pack("=I", SEAT_NAME))  # that seat is taken away, the other one stays idle
    assert comes_to(probe, TIMEOUT_S)
    assert two.errors == []
    two.end()


def test_the_first_input_after_an_absence_is_told_at_once_and_once(compositor: Compositor, probe: WaylandIdle) -> None:
    heard = threading.Semaphore(0)
    assert begins(compositor, probe)
    assert not probe.watch_for_input(heard.release)  # in use: nothing to wait for
    compositor.idled()
    assert comes_to(probe, TIMEOUT_S)
    assert probe.watch_for_input(lambda: pytest.fail("an old one was called"))
    assert probe.watch_for_input(heard.release)
    assert not heard.acquire(timeout=0.1)
    compositor.resumed()
    assert heard.acquire(timeout=10)
    compositor.idled()
    compositor.resumed()
    assert comes_to(probe, 0.0)
    assert not heard.acquire(timeout=0.1)


def test_a_compositor_that_goes_away_is_told_and_found_again(
    place: Path, compositor: Compositor, probe: WaylandIdle, clock: Clock
) -> None:
    heard = threading.Event()
    assert begins(compositor, probe)
    compositor.idled()
    assert comes_to(probe, TIMEOUT_S)
    assert probe.watch_for_input(heard.set)
    compositor.end()
    assert heard.wait(10)
    assert probe.idle_s() is None
    compositor.__init__(place)  # type: ignore[misc]
    assert probe.idle_s() is None
    clock.now += AGAIN_S
    assert probe.idle_s() == 0.0


def test_a_compositor_that_does_not_answer_says_nothing_until_it_does(
    compositor: Compositor, probe: WaylandIdle, clock: Clock
) -> None:
    assert begins(compositor, probe)
    compositor.idled()
    assert comes_to(probe, TIMEOUT_S)
    compositor.answers = False
    assert eventually(lambda: probe.idle_s() == TIMEOUT_S and "wl_callback" in compositor.objects.values())
    clock.now += HANGS_S + 0.1
    assert probe.idle_s() is None
    assert not probe.watch_for_input(lambda: None)
    compositor.answers = True
    compositor.answer(wayland.SYNC)
    assert eventually(lambda: probe.idle_s() is not None)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\0" * 64,
        struct.pack("=II", 2, 8 << 16),  # an announcement of nothing
        struct.pack("=IIII", 2, 16 << 16, 1, 1 << 20),  # a name longer than its event
        struct.pack("=III", 1, 24 << 16, 1) + struct.pack("=I", 0) + packed("no!"),  # an error
        struct.pack("=II", 77, 3 << 16),  # shorter than its own header
    ],
)
def test_what_is_not_the_protocol_ends_the_connection(
    compositor: Compositor, probe: WaylandIdle, rubbish: bytes
) -> None:
    assert begins(compositor, probe)
    compositor.raw(rubbish)
    assert comes_to(probe, None)


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1), st.binary(max_size=64))),
    st.integers(1, 40),
)
def test_events_may_come_in_pieces_of_any_size(sent: list[tuple[int, int, bytes]], size: int) -> None:
    stream = b"".join(struct.pack("=II", number, 8 + len(body) << 16 | opcode) + body for number, opcode, body in sent)
    received, taken = bytearray(), []
    for begin in range(0, len(stream), size):
        received += stream[begin : begin + size]
        taken += [(event.object_id, event.opcode, event.body) for event in wayland.events(received)]
    assert taken == sent
    assert not received


def test_it_is_quick_about_a_compositor_that_takes_no_connection(place: Path, probe: WaylandIdle, clock: Clock) -> None:
    assert probe.idle_s() is None
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(place))
    silent.listen()
    clock.now += AGAIN_S
    assert probe.idle_s() is None
    silent.close()


def test_it_counts_only_under_wayland(
    compositor: Compositor, probe: WaylandIdle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY")
    monkeypatch.setenv("XDG_SESSION_TYPE", "x11")
    assert probe.idle_s() is None
    assert compositor.clients == []


def test_closing_ends_the_thread(compositor: Compositor, probe: WaylandIdle) -> None:
    assert begins(compositor, probe)
    compositor.idled()
    assert comes_to(probe, TIMEOUT_S)
    assert probe.watch_for_input(lambda: pytest.fail("nobody touched anything"))
    probe.close()
    assert eventually(lambda: not any(thread.name == "wayland" for thread in threading.enumerate()))
    assert probe.idle_s() is None


def test_the_fusion_trusts_it_after_one_absence(compositor: Compositor, probe: WaylandIdle, clock: Clock) -> None:
    fusion = IdleFusion()

    def look() -> float | None:
        return fusion.fold([Reading(probe.name, probe.kind, probe.idle_s(), clock.now)]).idle_s

    assert begins(compositor, probe)
    assert look() == 0.0
    clock.now += 1.0
    compositor.idled()
    assert comes_to(probe, TIMEOUT_S)
    for _ in range(12):
        look()
        clock.now += 0.9
        assert eventually(lambda: probe.idle_s() is not None)
    assert look() is None
    compositor.resumed()
    assert comes_to(probe, 0.0)
    assert look() == 0.0
    compositor.idled()
    assert comes_to(probe, TIMEOUT_S)
    told = 0.0
    for _ in range(20):
        told = look() or 0.0
        clock.now += 0.9
        assert eventually(lambda: probe.idle_s() is not None)
    assert told > 15.0
