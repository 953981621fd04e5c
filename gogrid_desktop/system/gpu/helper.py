"""One run of the watching process, as its parent sees it."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import threading
from collections.abc import Callable, Sequence

from gogrid_desktop.system.gpu import GpuReading
from gogrid_desktop.system.gpu.frames import Ask, read_reading, write_ask

log = logging.getLogger(__name__)

#: An agent without a console must not open one.
_NO_WINDOW = int(getattr(subprocess, "CREATE_NO_WINDOW", 0))  # Windows alone has it


class Helper:
    """Calls `said` for each reading and `ended` once, from a thread of its own. Raises OSError where nothing starts."""

    def __init__(
        self,
        command: Sequence[str],
        said: Callable[[Helper, GpuReading], None],
        ended: Callable[[Helper], None],
    ) -> None:
        self._said, self._ended = said, ended
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, start_new_session=True, creationflags=_NO_WINDOW
        )
        self._reader = threading.Thread(target=self._read, name="gpu readings", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def rested(self) -> bool:
        """Whether it ended because it had nothing to do."""
        return self._process.returncode == 0

    def ask(self, ask: Ask) -> None:
        """Lost where the process has ended, which `ended` says."""
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(write_ask(ask))
                self._process.stdin.flush()
        except (OSError, ValueError) as error:  # ValueError: closed on this side
            log.debug("the GPU watcher takes no question: %s", error)

    def kill(self) -> None:
        """At once; one that hangs in the kernel does not end all the same."""
        self._process.kill()

    def join(self, timeout_s: float) -> None:
        """Wait for its end."""
        self._reader.join(timeout_s)

    def _read(self) -> None:
        try:
            for line in self._process.stdout or ():
                self._said(self, read_reading(line))
        except ValueError as error:
            log.error("the GPU watcher broke the protocol: %s", error)
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stdin):
            if pipe is not None:
                with contextlib.suppress(OSError):  # a question that nobody took
                    pipe.close()
        self._ended(self)
