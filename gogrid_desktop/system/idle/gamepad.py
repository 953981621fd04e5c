"""When a gamepad or joystick was last touched: input that no desktop counts, as it goes to the game alone.

Source: the kernel's Documentation/input/event-codes.rst and input.rst, linux/input.h (`struct input_event`, EVIOCGABS).
Only devices are opened that have buttons of a gamepad or joystick and no letters, so never a keyboard, and where the
user may; they are not grabbed. That there was an event, and when, is all that is kept. A worn stick trembles by itself:
an axis counts once it has moved by an eighth of its range.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from select import select
from typing import Any

from gogrid_desktop.core.idle import Kind

LOOK_AGAIN_S = 60.0
#: While somebody plays, events come by the hundred: they are looked at so often.
_REST_S = 0.5
_BUTTONS, _LETTERS = range(0x120, 0x140), range(16, 26)  # BTN_JOYSTICK.. and BTN_GAMEPAD..; KEY_Q..KEY_P
_KEY, _AXIS = 1, 3
_SHARE_OF_RANGE = 8
_EVENT = struct.Struct("llHHi")
_ABSINFO = struct.Struct("6i")
_WORD_BITS = 8 * struct.calcsize("l")
# Linux has both; type checkers look at this file for other systems too.
_ioctl, _NONBLOCK = getattr(fcntl, "ioctl"), getattr(os, "O_NONBLOCK")  # noqa: B009


def axis_range(device: int, axis: int) -> int:
    """How far an axis goes, by EVIOCGABS. Raises OSError where the kernel does not say."""
    asked = 2 << 30 | _ABSINFO.size << 16 | ord("E") << 8 | 0x40 + axis  # _IOR('E', 0x40 + axis, struct input_absinfo)
    _, least, most, *_ = _ABSINFO.unpack(_ioctl(device, asked, bytes(_ABSINFO.size)))
    return int(most - least)


class GamepadIdle:
    """A thread reads what is plugged in, and looks for more every minute that it is asked in.

    A gamepad that goes away tells nobody: wireless ones turn themselves off.
    """

    name = "gamepad"
    kind = Kind.PRESENCE
    notifies = True

    def __init__(
        self,
        sys: Path = Path("/sys"),
        dev: Path = Path("/dev"),
        clock: Callable[[], float] = time.monotonic,
        axis_range: Callable[[int, int], int] = axis_range,
    ) -> None:
        self._class, self._dev, self._clock, self._range = sys / "class/input", dev / "input", clock, axis_range
        self._lock = threading.Lock()
        self._devices: dict[str, _Device] = {}
        self._looked_at: float | None = None
        self._touched_at: float | None = None
        self._heard: Callable[[], None] | None = None
        self._closed = False
        self._woken, self._wake = socket.socketpair()

    def idle_s(self) -> float | None:
        """Seconds since the last event; None before the first."""
        now = self._clock()
        with self._lock:
            if not self._closed and (self._looked_at is None or now - self._looked_at >= LOOK_AGAIN_S):
                if self._looked_at is None:
                    threading.Thread(target=self._run, name="gamepad", daemon=True).start()
                self._looked_at = now
                self._wake.send(b"l")
            return None if self._touched_at is None else now - self._touched_at

    def watch_for_input(self, heard: Callable[[], None]) -> bool:
        with self._lock:
            if self._devices:
                self._heard = heard
            return bool(self._devices)

    def close(self) -> None:
        with self._lock:
            self._closed, self._heard = True, None
            self._wake.close()
            if self._looked_at is None:
                self._woken.close()

    def _run(self) -> None:
        while not self._closed:
            sources: list[Any] = [self._woken, *self._devices.values()]
            ready = select(sources, [], [])[0]
            if self._woken in ready and self._woken.recv(16):
                self._look()
            touched = [device for device in ready if isinstance(device, _Device) and self._touched(device)]
            if touched:
                self._tell()
                select([self._woken], [], [], _REST_S)
        for device in self._devices.values():
            device.close()
        self._woken.close()

    def _look(self) -> None:
        for name in _gamepads(self._class):
            if name not in self._devices:
                with suppress(OSError):  # not ours to read, or just unplugged
                    self._devices[name] = _Device(self._dev / name, self._range)

    def _touched(self, device: _Device) -> bool:
        try:
            return device.touched()
        except OSError:
            device.close()
            self._devices = {name: each for name, each in self._devices.items() if each is not device}
            return False

    def _tell(self) -> None:
        with self._lock:
            self._touched_at = self._clock()
            heard, self._heard = self._heard, None
        if heard is not None:
            heard()


class _Device:
    """Raises OSError where it cannot be opened."""

    def __init__(self, path: Path, range_of: Callable[[int, int], int]) -> None:
        self._file = os.open(path, os.O_RDONLY | _NONBLOCK)
        self._range_of = range_of
        self._rest: dict[int, int] = {}  # where an axis was when it last counted

    def fileno(self) -> int:
        return self._file

    def touched(self) -> bool:
        """Read all that came; whether a hand was in it. Raises OSError when the device has gone."""
        touched = False
        while True:
            try:
                came = os.read(self._file, 64 * _EVENT.size)
            except BlockingIOError:
                return touched
            if not came:
                raise OSError("the device has gone")
            for _, _, kind, code, value in _EVENT.iter_unpack(came[: len(came) // _EVENT.size * _EVENT.size]):
                touched |= kind == _KEY or (kind == _AXIS and self._moved(code, value))

    def _moved(self, axis: int, value: int) -> bool:
        before = self._rest.setdefault(axis, value)
        try:
            moved = abs(value - before) * _SHARE_OF_RANGE >= max(1, self._range_of(self._file, axis))
        except OSError:
            moved = value != before
        if moved:
            self._rest[axis] = value
        return moved

    def close(self) -> None:
        os.close(self._file)


def _gamepads(folder: Path) -> Iterator[str]:
    """The names of the devices, as `event5`."""
    for device in folder.glob("event*"):
        try:
            words = (device / "device/capabilities/key").read_text().split()
        except OSError:  # just unplugged
            continue
        keys = 0
        for word in words:  # the highest first
            keys = keys << _WORD_BITS | int(word, 16)
        if any(keys >> key & 1 for key in _BUTTONS) and not any(keys >> key & 1 for key in _LETTERS):
            yield device.name
