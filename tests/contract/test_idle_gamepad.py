"""Gamepads: a tree as the kernel lays it out, and pipes in the place of the devices."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_idle import eventually

from gogrid_desktop.core.idle import Kind
from gogrid_desktop.system.idle.gamepad import LOOK_AGAIN_S, GamepadIdle

KEY, AXIS, SYNC = 1, 3, 0
BTN_SOUTH, BTN_TRIGGER, BTN_LEFT, KEY_Q, KEY_A = 0x130, 0x120, 0x110, 16, 30
ABS_X, RANGE = 0, 65535


class Clock:
    now = 500.0

    def __call__(self) -> float:
        return self.now


def known_range(device: int, axis: int) -> int:
    assert os.fstat(device)
    return RANGE


def is_open(number: int, device: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.fstat(number), device)
    except OSError:  # it was the folder's own
        return False


class Machine:
    """What is plugged in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pipes: dict[str, int] = {}
        (root / "dev/input").mkdir(parents=True)
        (root / "sys/class/input").mkdir(parents=True)

    def plug(self, name: str, *keys: int, readable: bool = True) -> None:
        bits = sum(1 << key for key in keys)
        size = 8 * struct.calcsize("l")
        words = [bits >> shift & (1 << size) - 1 for shift in range(0, max(bits.bit_length(), 1), size)]
        folder = self.root / "sys/class/input" / name / "device/capabilities"
        folder.mkdir(parents=True)
        (folder / "key").write_text(" ".join(f"{word:x}" for word in reversed(words)) + "\n")
        if readable:
            os.mkfifo(self.root / "dev/input" / name)
            self.pipes[name] = os.open(self.root / "dev/input" / name, os.O_RDWR | os.O_NONBLOCK)

    def event(self, name: str, kind: int, code: int, value: int) -> None:
        os.write(
            self.pipes[name], struct.pack("llHHi", 0, 0, kind, code, value) + struct.pack("llHHi", 0, 0, SYNC, 0, 0)
        )

    def opened(self, name: str) -> int:
        """How often by others than whoever plugged it in."""
        device = (self.root / "dev/input" / name).stat()
        with os.scandir("/proc/self/fd") as entries:
            numbers = [int(entry.name) for entry in entries]
        return sum(is_open(number, device) for number in numbers) - (name in self.pipes)

    def unplug(self, name: str) -> None:
        os.close(self.pipes.pop(name))

    def end(self) -> None:
        for name in tuple(self.pipes):
            self.unplug(name)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    it = Machine(tmp_path)
    yield it
    it.end()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def probe(machine: Machine, clock: Clock) -> Iterator[GamepadIdle]:
    it = GamepadIdle(machine.root / "sys", machine.root / "dev", clock, known_range)
    yield it
    it.close()
    assert eventually(lambda: not any(thread.name == "gamepad" for thread in threading.enumerate()))


def found(probe: GamepadIdle, machine: Machine, *names: str) -> bool:
    probe.idle_s()
    return eventually(lambda: all(machine.opened(name) for name in names))


@pytest.mark.parametrize("button", [BTN_SOUTH, BTN_TRIGGER])
def test_a_button_is_input_and_its_time_grows(machine: Machine, probe: GamepadIdle, clock: Clock, button: int) -> None:
    machine.plug("event5", button)
    assert probe.kind is Kind.PRESENCE
    assert found(probe, machine, "event5")
    assert probe.idle_s() is None
    machine.event("event5", KEY, button, 1)
    assert eventually(lambda: probe.idle_s() == 0.0)
    clock.now += 40.0
    assert probe.idle_s() == 40.0


def test_only_gamepads_are_opened_and_only_where_the_user_may(machine: Machine, probe: GamepadIdle) -> None:
    machine.plug("event0", KEY_Q, KEY_A)
    machine.plug("event1", BTN_LEFT)
    machine.plug("event2", BTN_SOUTH, KEY_Q)  # a keyboard that claims to be a gamepad too
    machine.plug("event3")
    machine.plug("event4", BTN_SOUTH, readable=False)
    machine.plug("event5", BTN_SOUTH)
    (machine.root / "sys/class/input/event6").mkdir()
    assert found(probe, machine, "event5")
    assert not any(machine.opened(f"event{number}") for number in range(4))


def test_a_stick_counts_when_it_is_moved_and_not_when_it_trembles(
    machine: Machine, probe: GamepadIdle, clock: Clock
) -> None:
    machine.plug("event5", BTN_SOUTH)
    assert found(probe, machine, "event5")
    for value in (100, 3000, -2000, 100, 900):
        machine.event("event5", AXIS, ABS_X, value)
    machine.event("event5", SYNC, 3, 0)
    assert not eventually_soon(lambda: probe.idle_s() is not None)
    machine.event("event5", AXIS, ABS_X, RANGE // 2)
    assert eventually(lambda: probe.idle_s() == 0.0)


def eventually_soon(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold while the thread has every reason to get there."""
    waited = threading.Event()
    return any(holds() or waited.wait(0.05) for _ in range(6))


def test_an_axis_without_a_known_range_counts_when_it_changes(machine: Machine, clock: Clock) -> None:
    machine.plug("event5", BTN_SOUTH)
    probe = GamepadIdle(machine.root / "sys", machine.root / "dev", clock)  # a pipe does not say how far it goes
    assert found(probe, machine, "event5")
    machine.event("event5", AXIS, ABS_X, 7)
    machine.event("event5", AXIS, ABS_X, 7)
    assert not eventually_soon(lambda: probe.idle_s() is not None)
    machine.event("event5", AXIS, ABS_X, 8)
    assert eventually(lambda: probe.idle_s() == 0.0)
    probe.close()


def test_the_first_input_after_an_absence_is_told_at_once_and_once(machine: Machine, probe: GamepadIdle) -> None:
    heard = threading.Semaphore(0)
    assert not probe.watch_for_input(heard.release)
    machine.plug("event5", BTN_SOUTH)
    assert found(probe, machine, "event5")
    assert eventually(lambda: probe.watch_for_input(heard.release))
    machine.event("event5", KEY, BTN_SOUTH, 1)
    assert heard.acquire(timeout=10)
    machine.event("event5", KEY, BTN_SOUTH, 0)
    assert not heard.acquire(timeout=0.7)  # longer than it looks away while somebody plays


def test_what_is_plugged_in_later_is_found_within_a_minute(machine: Machine, probe: GamepadIdle, clock: Clock) -> None:
    machine.plug("event5", BTN_SOUTH)
    assert found(probe, machine, "event5")
    machine.plug("event6", BTN_SOUTH)
    clock.now += LOOK_AGAIN_S - 1
    probe.idle_s()
    assert not machine.opened("event6")
    clock.now += 1
    assert found(probe, machine, "event6")
    machine.event("event6", KEY, BTN_SOUTH, 1)
    assert eventually(lambda: probe.idle_s() == 0.0)


def test_what_is_unplugged_is_let_go_and_the_others_go_on(machine: Machine, probe: GamepadIdle) -> None:
    machine.plug("event5", BTN_SOUTH)
    machine.plug("event6", BTN_SOUTH)
    assert found(probe, machine, "event5", "event6")
    machine.unplug("event5")
    assert eventually(lambda: not machine.opened("event5"))
    machine.event("event6", KEY, BTN_SOUTH, 1)
    assert eventually(lambda: probe.idle_s() == 0.0)


def test_half_an_event_is_no_event(machine: Machine, probe: GamepadIdle) -> None:
    machine.plug("event5", BTN_SOUTH)
    assert found(probe, machine, "event5")
    os.write(machine.pipes["event5"], struct.pack("llHHi", 0, 0, KEY, BTN_SOUTH, 1)[:10])
    assert not eventually_soon(lambda: probe.idle_s() is not None)


def test_a_machine_without_any_input_device_knows_nothing(tmp_path: Path, clock: Clock) -> None:
    probe = GamepadIdle(tmp_path / "sys", tmp_path / "dev", clock)
    assert probe.idle_s() is None
    assert not probe.watch_for_input(lambda: None)
    probe.close()
    assert probe.idle_s() is None
