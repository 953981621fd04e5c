"""A connection to a message bus, against a real bus with services that are absent, refuse, are slow, lie and die."""

from __future__ import annotations

import gc
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures_dbus import Mock, Peer, PrivateBus, bus, eventually, needs_bus, no_bus
from jeepney import DBusAddress, new_signal
from jeepney.low_level import HeaderFields

from gogrid_desktop.system import dbus
from gogrid_desktop.system.dbus import Bus, Service

__all__ = ["bus", "no_bus"]

NAME, PATH, INTERFACE = "net.example.Clock", "/net/example/clock", "net.example.Clock"
CLOCK = Service(NAME, PATH, INTERFACE)


@pytest.fixture
def ours() -> Iterator[Bus]:
    it = Bus("SESSION")
    yield it
    it.close()
    assert eventually(lambda: not any(thread.name.startswith("dbus") for thread in threading.enumerate()))


@pytest.fixture
def clock(bus: PrivateBus) -> Mock:
    mock = play(bus)
    mock.method("Refuse", "", "", "raise dbus.exceptions.DBusException('no', name='net.example.No')")
    mock.method("Sleep", "", "s", "time.sleep(3); ret = 'awake'")
    mock.property("Zone", "s", "UTC")
    return mock


def play(bus: PrivateBus) -> Mock:
    mock = bus.mock(NAME, PATH, INTERFACE)
    mock.method("Time", "s", "s", "ret = 'noon in ' + args[0]")
    return mock


def test_a_bus_that_stops_while_it_greets_leaves_nothing_open(ours: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its part of the handshake is played as far as it came: it takes the name and says nothing to Hello."""
    with socket.socket(socket.AF_UNIX) as bus, tempfile.TemporaryDirectory(prefix="bus") as folder:
        bus.bind(f"{folder}/bus")
        bus.listen()

        def greet() -> None:
            peer, _ = bus.accept()
            with peer, peer.makefile("rb") as lines:
                for line in lines:
                    if line.startswith(b"BEGIN"):
                        return
                    peer.sendall(b"AGREE_UNIX_FD\r\n" if b"NEGOTIATE" in line else b"OK 1234deadbeef\r\n")

        greeting = threading.Thread(target=greet)
        greeting.start()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={folder}/bus")
        assert ours.get(CLOCK, "Zone") is None
        greeting.join()
        gc.collect()


class Heard(list[tuple[Any, ...]]):
    """What was heard of Struck."""

    def __init__(self, ours: Bus, service: Service = CLOCK, **how: bool) -> None:
        super().__init__()
        ours.listen(service, "Struck", self.append, **how)


@needs_bus
class TestAsked:
    def test_a_service_answers(self, clock: Mock, ours: Bus) -> None:
        assert ours.call(CLOCK, "Time", "s", ("Paris",)) == ("noon in Paris",)
        assert ours.get(CLOCK, "Zone") == "UTC"

    def test_an_answer_of_another_kind_is_none(self, clock: Mock, ours: Bus) -> None:
        assert ours.call(CLOCK, "Time", "s", ("Rome",), returns="s") == ("noon in Rome",)
        assert ours.call(CLOCK, "Time", "s", ("Rome",), returns="u") is None
        assert ours.get(CLOCK, "Zone", "s") == "UTC"
        assert ours.get(CLOCK, "Zone", "b") is None

    def test_a_refusal_is_none(self, clock: Mock, ours: Bus) -> None:
        assert ours.call(CLOCK, "Refuse") is None
        assert ours.call(CLOCK, "NoSuchMethod") is None
        assert ours.get(CLOCK, "NoSuchProperty") is None

    def test_a_service_that_is_not_there_is_none(self, bus: PrivateBus, ours: Bus) -> None:
        assert ours.call(CLOCK, "Time", "s", ("Paris",)) is None

    def test_a_service_is_never_started_by_being_asked(self, bus: PrivateBus, ours: Bus) -> None:
        started = bus.folder / "started"
        touch = f"/bin/sh -c 'touch {started}; exit 1'"
        (bus.folder / f"{NAME}.service").write_text(f"[D-BUS Service]\nName={NAME}\nExec={touch}\n")
        bus.peer.ask("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "ReloadConfig")
        heard = Heard(ours)
        assert ours.call(CLOCK, "Time", "s", ("Paris",)) is None
        assert ours.get(CLOCK, "Zone") is None
        assert not started.exists()
        assert heard == []
        with pytest.raises(AssertionError, match="exited"):  # whoever asks as usual does start it
            bus.peer.ask(NAME, PATH, INTERFACE, "Time", "s", "Paris")
        assert started.exists()

    def test_who_is_there_is_told(self, clock: Mock, ours: Bus) -> None:
        assert ours.there(NAME) is True
        assert ours.there("net.example.Other") is False

    def test_without_a_bus_it_is_none(self, no_bus: None, ours: Bus) -> None:
        assert ours.call(CLOCK, "Time", "s", ("Paris",)) is None
        assert ours.there(NAME) is None
        system = Bus("SYSTEM")
        assert system.get(CLOCK, "Zone") is None
        system.close()

    def test_nothing_comes_of_a_bus_that_was_closed(self, clock: Mock, ours: Bus) -> None:
        assert ours.get(CLOCK, "Zone") == "UTC"
        ours.close()
        assert eventually(lambda: ours.get(CLOCK, "Zone") is None)

    def test_a_slow_service_is_left_alone_until_it_answered(
        self, clock: Mock, bus: PrivateBus, ours: Bus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dbus, "LIMIT_S", 0.3)
        assert ours.call(CLOCK, "Sleep") is None
        monkeypatch.setattr(dbus, "LIMIT_S", 60.0)  # so long it would wait, were it asked
        assert ours.call(CLOCK, "Time", "s", ("Paris",)) is None
        assert eventually(lambda: ours.call(CLOCK, "Time", "s", ("Paris",)) == ("noon in Paris",))

    def test_another_service_answers_meanwhile(
        self, clock: Mock, bus: PrivateBus, ours: Bus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = bus.mock("net.example.Other", PATH, INTERFACE)
        other.property("Zone", "s", "CET")
        monkeypatch.setattr(dbus, "LIMIT_S", 0.3)
        assert ours.call(CLOCK, "Sleep") is None
        monkeypatch.setattr(dbus, "LIMIT_S", 20.0)
        assert ours.get(Service("net.example.Other", PATH, INTERFACE), "Zone") == "CET"

    def test_a_stopped_bus_is_none_and_answers_when_it_goes_on(
        self, clock: Mock, bus: PrivateBus, ours: Bus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert ours.get(CLOCK, "Zone") == "UTC"
        monkeypatch.setattr(dbus, "LIMIT_S", 0.3)
        os.kill(bus.process.pid, signal.SIGSTOP)
        assert ours.get(CLOCK, "Zone") is None
        os.kill(bus.process.pid, signal.SIGCONT)
        monkeypatch.setattr(dbus, "LIMIT_S", 20.0)
        assert eventually(lambda: ours.get(CLOCK, "Zone") == "UTC")

    def test_a_bus_that_came_back_is_asked_again(self, clock: Mock, bus: PrivateBus, ours: Bus) -> None:
        assert ours.call(CLOCK, "Time", "s", ("Paris",)) is not None
        bus.kill()
        assert ours.call(CLOCK, "Time", "s", ("Paris",)) is None
        bus.start()
        play(bus)
        assert eventually(lambda: ours.call(CLOCK, "Time", "s", ("Paris",)) == ("noon in Paris",))

    def test_who_waits_for_an_answer_is_told_that_the_bus_went_away(
        self, clock: Mock, bus: PrivateBus, ours: Bus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock.method("Hang", "", "", "open('/proc/self/comm', 'w').write('hanging'); time.sleep(3600)")
        assert ours.get(CLOCK, "Zone") == "UTC"
        monkeypatch.setattr(dbus, "LIMIT_S", 3600.0)
        asking = threading.Thread(target=lambda: ours.call(CLOCK, "Hang"), daemon=True)
        asking.start()
        comm = Path(f"/proc/{clock.process.pid}/comm")
        assert eventually(lambda: comm.read_text() == "hanging\n")  # it was asked
        bus.kill()
        asking.join(20.0)
        assert not asking.is_alive()


@needs_bus
class TestListening:
    def test_a_signal_is_heard_with_what_it_says(self, clock: Mock, ours: Bus) -> None:
        heard = Heard(ours)
        assert ours.get(CLOCK, "Zone") == "UTC"  # the bus has heard us
        clock.emit("Struck", "u", ("u", 12))
        assert eventually(lambda: heard == [(12,)])

    def test_other_signals_and_other_objects_are_not_heard(self, clock: Mock, ours: Bus) -> None:
        heard = Heard(ours)
        assert ours.get(CLOCK, "Zone") == "UTC"
        clock.object(f"{PATH}/hand", INTERFACE, {})
        clock.emit("Struck", "u", ("u", 1), path=f"{PATH}/hand")
        clock.emit("Stopped")
        clock.emit("Struck", "u", ("u", 2))
        assert eventually(lambda: len(heard) > 0)
        assert heard == [(2,)]

    def test_objects_below_are_heard_where_they_are_meant(self, clock: Mock, ours: Bus) -> None:
        heard = Heard(ours, below=True)
        assert ours.get(CLOCK, "Zone") == "UTC"
        clock.object(f"{PATH}/hand", INTERFACE, {})
        clock.emit("Struck", "u", ("u", 1), path=f"{PATH}/hand")
        clock.emit("Struck", "u", ("u", 2))
        assert eventually(lambda: heard == [(1,), (2,)])

    def test_a_signal_of_another_sender_is_not_heard(self, clock: Mock, bus: PrivateBus, ours: Bus) -> None:
        heard = Heard(ours)
        assert ours.get(CLOCK, "Zone") == "UTC"
        stranger = Peer(bus.address)
        where = DBusAddress(PATH, interface=INTERFACE)
        stranger.connection.send(new_signal(where, "Struck", "u", (66,)))
        for_us_alone = new_signal(where, "Struck", "u", (67,))
        assert ours._connection is not None
        for_us_alone.header.fields[HeaderFields.destination] = ours._connection.unique_name
        stranger.connection.send(for_us_alone)
        assert stranger.has(NAME)  # the bus has passed on what was sent before
        clock.emit("Struck", "u", ("u", 12))
        assert eventually(lambda: len(heard) > 0)
        assert heard == [(12,)]
        stranger.close()

    def test_a_service_that_comes_goes_and_returns_is_heard(self, bus: PrivateBus, ours: Bus) -> None:
        heard = Heard(ours)
        assert ours.get(CLOCK, "Zone") is None
        for times in (1, 2):
            mock = play(bus)
            assert eventually(lambda: heard[-1:] == [()])
            mock.emit("Struck", "u", ("u", times))
            assert eventually(lambda number=times: heard[-1:] == [(number,)])
            mock.end()
            assert eventually(lambda: heard[-1:] == [()])
        assert heard == [(), (1,), (), (), (2,), ()]

    def test_after_the_bus_was_away_it_says_look_anew_and_goes_on(
        self, clock: Mock, bus: PrivateBus, ours: Bus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dbus, "AGAIN_S", 0.1)
        heard = Heard(ours)
        assert ours.get(CLOCK, "Zone") == "UTC"
        bus.kill()
        bus.start()
        assert eventually(lambda: heard == [()])
        mock = play(bus)
        assert eventually(lambda: heard == [(), ()])  # and the service came
        mock.emit("Struck", "u", ("u", 12))
        assert eventually(lambda: heard[2:] == [(12,)])

    def test_a_bus_that_comes_later_is_listened_to(
        self, bus: PrivateBus, ours: Bus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dbus, "AGAIN_S", 0.1)
        bus.kill()
        heard, more = Heard(ours), Heard(ours)
        bus.start()
        mock = play(bus)
        assert eventually(lambda: () in heard and () in more)
        assert ours.call(CLOCK, "Time", "s", ("Paris",)) is not None
        mock.emit("Struck", "u", ("u", 12))
        assert eventually(lambda: heard[-1:] == more[-1:] == [(12,)])


def test_a_bus_that_greets_nobody_is_left_alone_for_a_while(ours: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as silent, tempfile.TemporaryDirectory(prefix="bus") as folder:
        silent.bind(f"{folder}/bus")
        silent.listen()
        silent.setblocking(False)
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={folder}/bus")
        monkeypatch.setattr(dbus, "LIMIT_S", 0.2)
        assert ours.get(CLOCK, "Zone") is None
        assert ours.get(CLOCK, "Zone") is None
        silent.accept()[0].close()  # what was opened is closed, or this test fails with a warning
        with pytest.raises(BlockingIOError):  # nobody came a second time
            silent.accept()


def test_without_a_bus_nothing_is_heard_and_it_can_be_closed(no_bus: None, ours: Bus) -> None:
    assert Heard(ours) == []
