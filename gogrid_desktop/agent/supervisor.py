"""The worker process: starts it, reads its frames, notices its end at once, and starts it again with backoff.

What a death means is told apart here: killed from outside, or died of a fault of its own (which suspects the jobs that
ran in it). The worker gets an environment with nothing in it that it does not need.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum

from pydantic import ValidationError

from gogrid_desktop.errors import WorkerError
from gogrid_desktop.worker import messages as w

log = logging.getLogger(__name__)

#: Variables a worker may see: how to find programs, libraries and devices, the language, and its audit journal.
_ENV = (
    "PATH",
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "TMPDIR",
    "GOGRID_WORKER_JOURNAL",
)
_ENV_PREFIXES = ("LC_", "CUDA_", "GGML_", "HSA_", "HIP_", "ROCR_", "VK_", "OMP_")
_FAULTS = {
    getattr(signal, name) for name in ("SIGABRT", "SIGSEGV", "SIGILL", "SIGBUS", "SIGFPE") if hasattr(signal, name)
}
STDERR_LINES = 40


class Death(Enum):
    """Why a worker ended."""

    ASKED = "asked"  # we closed its standard input
    OUTSIDE = "outside"  # killed from outside: suspects nobody
    FAULT = "fault"  # a fault of its own, or a hang: suspects the jobs that ran in it


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of `environ` that a worker may see."""
    return {k: v for k, v in environ.items() if k in _ENV or k.startswith(_ENV_PREFIXES)} | {"GGML_NO_BACKTRACE": "1"}


def cause_of_death(returncode: int, *, asked: bool, hung: bool) -> Death:
    """`returncode` as in subprocess: negative for a signal."""
    if hung:
        return Death.FAULT
    if asked:
        return Death.ASKED
    if returncode < 0:
        return Death.FAULT if -returncode in _FAULTS else Death.OUTSIDE
    return Death.FAULT


class Supervisor:
    """One worker process at a time. `run_once` starts one and returns how it ended."""

    def __init__(self, on_event: Callable[[w.Event], None], command: tuple[str, ...] = ()) -> None:
        self._on_event = on_event
        self._command = command or (sys.executable, "-m", "gogrid_desktop.worker")
        self._process: asyncio.subprocess.Process | None = None
        self._asked = False
        self._hung = False
        self.last_words: deque[str] = deque(maxlen=STDERR_LINES)

    @property
    def pid(self) -> int | None:
        """Of the running worker."""
        return self._process.pid if self._process is not None else None

    async def run_once(self) -> Death:
        """Start a worker and serve it until it ends. Raises OSError when it cannot be started."""
        self._asked = self._hung = False
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=w.MAX_LINE_BYTES,
            env=worker_environment(os.environ),
            start_new_session=True,
        )
        self._process = process
        words = asyncio.create_task(self._listen(process), name="worker-stderr")
        try:
            await self._read(process)
            returncode = await process.wait()
        finally:
            self._process = None
            if process.returncode is None:
                process.kill()
                await process.wait()
            words.cancel()
        death = cause_of_death(returncode, asked=self._asked, hung=self._hung)
        if death is not Death.ASKED:
            log.warning("the worker (pid %d) ended with %d: %s", process.pid, returncode, death.value)
        return death

    def send(self, frame: w.Frame) -> bool:
        """Tell the worker; False when none runs."""
        if self._process is None or self._process.stdin is None or self._process.stdin.is_closing():
            return False
        self._process.stdin.write(w.encode(frame))
        return True

    def kill(self, *, hung: bool = False) -> None:
        """End it at once: its memory comes back whatever it is doing."""
        self._hung = self._hung or hung
        self._asked = not hung
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        try:
            while line := await process.stdout.readline():
                self._on_event(w.EVENT.validate_json(line))
        except (ValidationError, ValueError, WorkerError) as error:  # ValueError: a line over the limit
            # The text of a validation error would quote the line, and with it somebody's words.
            log.error("the worker broke the protocol (%s); it is ended", type(error).__name__)
            self.kill(hung=True)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        if process.stderr is None:
            return
        while line := await process.stderr.readline():
            self.last_words.append(line.decode(errors="replace").rstrip())
