"""The wire protocol of Wayland, as far as a program without windows needs it: requests out, events in.

Our own, because all that is asked for is one small extension: the bindings on PyPI come as one wheel for a glibc of
2.34, are built against libwayland and libffi elsewhere, and need code generated for each extension. Source: The Wayland
Protocol, chapter 4 (wire format) and appendix A (`wl_display`, `wl_registry`).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DISPLAY, REGISTRY, SYNC = 1, 2, 3
#: The first number that is free for other objects.
FIRST_ID = 4
_HEADER = struct.Struct("=II")  # the object; above 16 bits of the operation, the length with this header
_SYNC, _GET_REGISTRY, _BIND = 0, 1, 0
_LIMIT_S = 0.5


class WaylandError(OSError):
    """What came is not the protocol, or the compositor refused what we asked."""


@dataclass(frozen=True, slots=True)
class Event:
    """`opcode` counts the events of the object's interface; `body`: its arguments, packed."""

    object_id: int
    opcode: int
    body: bytes

    def uint(self, at: int = 0) -> int:
        """The 32 bits at this byte."""
        try:
            return int(struct.unpack_from("=I", self.body, at)[0])
        except struct.error as error:
            raise WaylandError(f"a short event: {error}") from error

    def string(self, at: int) -> tuple[str, int]:
        """The string at this byte, and where the next argument begins."""
        length = self.uint(at)
        end = at + 4 + length
        if end > len(self.body):
            raise WaylandError("a string longer than its event")
        return self.body[at + 4 : end].rstrip(b"\0").decode(errors="replace"), end + -length % 4


def connect() -> socket.socket:
    """A connection to the session's compositor. Raises OSError where there is none."""
    display = os.environ.get("WAYLAND_DISPLAY") or "wayland-0"
    path = Path(os.environ.get("XDG_RUNTIME_DIR", "/nowhere")) / display  # an absolute `display` stays as it is
    connection = socket.socket(getattr(socket, "AF_UNIX"), socket.SOCK_STREAM)  # noqa: B009 - not on every platform
    try:
        connection.settimeout(_LIMIT_S)
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def request(object_id: int, opcode: int, *arguments: int | str) -> bytes:
    """A request; an int goes as 32 bits, a str with its length and padded."""
    body = b"".join(_packed(argument) for argument in arguments)
    return _HEADER.pack(object_id, _HEADER.size + len(body) << 16 | opcode) + body


def sync() -> bytes:
    """Asks for the event 0 of SYNC once all before it is done; the compositor then frees the number (`delete_id`)."""
    return request(DISPLAY, _SYNC, SYNC)


def get_registry() -> bytes:
    return request(DISPLAY, _GET_REGISTRY, REGISTRY)


def bind(name: int, interface: str, version: int, new_id: int) -> bytes:
    return request(REGISTRY, _BIND, name, interface, version, new_id)


def events(received: bytearray) -> Iterator[Event]:
    """Takes the whole events from the front of `received`. Raises WaylandError for what cannot be one."""
    while len(received) >= _HEADER.size:
        object_id, second = _HEADER.unpack_from(received)
        length, opcode = second >> 16, second & 0xFFFF
        if length < _HEADER.size:
            raise WaylandError(f"an event of {length} bytes")
        if len(received) < length:
            return
        body = bytes(received[_HEADER.size : length])
        del received[:length]
        yield Event(object_id, opcode, body)


def _packed(argument: int | str) -> bytes:
    if isinstance(argument, int):
        return struct.pack("=I", argument)
    text = argument.encode() + b"\0"
    return struct.pack("=I", len(text)) + text + b"\0" * (-len(text) % 4)
