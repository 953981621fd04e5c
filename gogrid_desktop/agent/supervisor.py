"""The worker process: starts it, reads its frames, notices its end at once, and starts it again with backoff.

What a death means is told apart here: killed from outside, or died of a fault of its own (which suspects the jobs that
ran in it). The worker gets an environment with nothing in it that it does not need.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum

from pydantic import ValidationError

from gogrid_desktop.errors import WorkerError
from gogrid_desktop.system.mps import MEMORY, PRIORITY, THREADS
from gogrid_desktop.worker import messages as w

log = logging.getLogger(__name__)

#: Variables a worker may see: how to find programs, libraries and devices, the language, its audit
#: journal, and the switch for faults on purpose.
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
    "GOGRID_CHAOS",
)
_ENV_PREFIXES = ("LC_", "CUDA_", "GGML_", "HSA_", "HIP_", "ROCR_", "VK_", "OMP_")
_FAULTS = {
    getattr(signal, name) for name in ("SIGABRT", "SIGSEGV", "SIGILL", "SIGBUS", "SIGFPE") if hasattr(signal, name)
}
#: Of system/mps, whose variables these are.
MPS_LIMITS = (THREADS, MEMORY, PRIORITY)
#: An agent without a console must not open one for its worker.
_NO_WINDOW = int(getattr(subprocess, "CREATE_NO_WINDOW", 0))  # Windows alone has it
#: Memory must be back within a second (row A14), so that the daemon gets the smaller part of it.
BEFORE_KILL_S = 0.4
STDERR_LINES = 40


class Death(Enum):
    """Why a worker ended."""

    ASKED = "asked"  # we closed its standard input
    OUTSIDE = "outside"  # killed from outside: suspects nobody
    FAULT = "fault"  # a fault of its own, or a hang: suspects the jobs that ran in it


def worker_environment(environ: Mapping[str, str], extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The part of `environ` that a worker may see, and what is added to it.

    Limits of an MPS client that the agent itself was started with are not the worker's: its own come in `extra`.
    """
    seen = {k: v for k, v in environ.items() if k in _ENV or k.startswith(_ENV_PREFIXES)}
    for name in MPS_LIMITS:
        seen.pop(name, None)
    return seen | {"GGML_NO_BACKTRACE": "1"} | dict(extra or {})


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

    def __init__(
        self,
        on_event: Callable[[w.Event], None],
        command: tuple[str, ...] = (),
        environment: Callable[[], Mapping[str, str]] = dict,
        before_kill: Callable[[int], object] | None = None,
    ) -> None:
        """`environment` is asked before each start for what to add; it may block for seconds, and refuse by raising.

        `before_kill` is given the pid of a client of MPS that is to be killed; it may block, but is not waited for
        longer than `BEFORE_KILL_S`.
        """
        self._on_event = on_event
        self._command = command or (sys.executable, "-m", "gogrid_desktop.worker")
        self._environment = environment
        self._before_kill = before_kill
        self._extra: Mapping[str, str] = {}
        self._killing: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._asked = False
        self._hung = False
        self.last_words: deque[str] = deque(maxlen=STDERR_LINES)

    @property
    def pid(self) -> int | None:
        """Of the running worker."""
        return self._process.pid if self._process is not None else None

    async def run_once(self) -> Death:
        """Start a worker and serve it until it ends.

        Raises OSError when it cannot be started, GoGridError when `environment` refuses.
        """
        self._asked = self._hung = False
        self._extra = await asyncio.to_thread(self._environment)
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=w.MAX_LINE_BYTES,
            env=worker_environment(os.environ, self._extra),
            start_new_session=True,
            creationflags=_NO_WINDOW,
        )
        self._process = process
        words = asyncio.create_task(self._listen(process), name="worker-stderr")
        try:
            await self._read(process)
            returncode = await process.wait()
        finally:
            self._process = None
            if process.returncode is None:
                await self._end(process)
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
        if self._process is None or self._process.returncode is not None:
            return
        if self._asks_first:
            self._killing = self._killing or asyncio.create_task(self._end(self._process), name="worker-kill")
        else:
            self._process.kill()

    @property
    def _asks_first(self) -> bool:
        """A client of MPS that is killed in the middle of its work can take the other clients with it."""
        return self._before_kill is not None and any(name in self._extra for name in MPS_LIMITS)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Kill it; a client of MPS not before the daemon had time to end its work on the GPU."""
        try:
            if self._before_kill is not None and self._asks_first:
                await asyncio.wait_for(asyncio.to_thread(self._before_kill, process.pid), BEFORE_KILL_S)
        except TimeoutError:
            log.warning("the MPS daemon did not end the worker's work within %.1f s", BEFORE_KILL_S)
        finally:
            self._killing = None
            if process.returncode is None:
                process.kill()

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
