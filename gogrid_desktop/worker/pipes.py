"""Standard input and output of the worker: frames in, frames out, and nothing else on them.

Whatever else writes to standard output (a library, a driver) is sent to standard error. A thread reads the commands, so
that the end of the input ends the process at once, also in the middle of a step.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import BinaryIO

from pydantic import ValidationError

from gogrid_desktop.worker import messages as w


class Out:
    """Writes frames, from any thread, and after each what `garbage` gives (normally nothing)."""

    def __init__(self, garbage: Callable[[], bytes] = bytes) -> None:
        self._garbage = garbage
        self._fd = os.dup(1)
        self._lock = threading.Lock()
        os.dup2(2, 1)

    def send(self, *frames: w.Frame | w.Emission) -> None:
        """Together, in one piece. Blocks while nobody reads; ends the process when nobody can."""
        # Log records would meet most of the garbage: a load makes thousands of them.
        lines = [w.encode(each) + (b"" if isinstance(each, w.LogRecord) else self._garbage()) for each in frames]
        with self._lock:
            data = memoryview(b"".join(lines))
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except BrokenPipeError:
                os._exit(0)


class Inbox(SimpleQueue[tuple[float, w.Command]]):
    """Commands with the time when they were read (monotonic, seconds)."""


def read_commands(stream: BinaryIO, arrived: Callable[[float, w.Command], None], out: Out) -> None:
    """Read until the input ends, then end the process. `arrived` is given each command and when it was read.

    A line that is no command is named in the log and ignored.
    """
    for line in _lines(stream):
        read_s = time.monotonic()
        try:
            command = w.COMMAND.validate_json(line)
        except ValidationError as error:
            out.send(w.LogRecord(level="error", message=_complaint(line, error)))
            continue
        arrived(read_s, command)
    os._exit(0)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines, cut after `MAX_LINE_BYTES`: the rest of a longer one is dropped, and what is left is no command."""
    while line := stream.readline(w.MAX_LINE_BYTES):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(w.MAX_LINE_BYTES)
        yield line


def _complaint(line: bytes, error: ValidationError) -> str:
    """What is wrong, by kind; never the words themselves."""
    kinds = sorted({e["type"] for e in error.errors(include_input=False, include_context=False)})
    return f"a line of {len(line)} bytes is no command ({', '.join(kinds[:8])}); it is ignored"
