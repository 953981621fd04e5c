"""The agent that this tray started, and only that one.

It runs in a session of its own and writes to a file, not to a pipe: it outlives a tray that crashes. The tray stops
what it started when the person quits, first by asking, and says what went wrong when it ends by itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal

from gogrid_desktop.errors import AgentAlreadyRunning
from gogrid_desktop.paths import private_dir
from gogrid_desktop.ui.view import AgentRun

POLL_MS = 200
STOP_S = 5.0
#: One that ran for this long and then broke is started again by itself; one that breaks sooner would only break again.
SETTLED_S = 60.0
LOG_TAIL_BYTES = 4096
#: An error is one line in the log, not folded at the width of a terminal that is not there.
WIDE = "2000"

AGENT_COMMAND = (sys.executable, "-m", "gogrid_desktop", "agent", "run")


class Phase(Enum):
    NONE = "none"
    RUNNING = "running"
    ASKED_TO_STOP = "asked to stop"
    TERMINATED = "terminated"


class AgentProcess(QObject):
    """Signal `changed()` whenever `run` is another value."""

    changed = Signal()

    def __init__(
        self,
        log_file: Path,
        command: Sequence[str] = AGENT_COMMAND,
        parent: QObject | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(parent)
        self.run = AgentRun()
        self._log_file = log_file
        self._command = tuple(command)
        self._monotonic = monotonic
        self._process: subprocess.Popen[bytes] | None = None
        self._phase = Phase.NONE
        self._phase_since = 0.0
        self._when_stopped: Callable[[], None] | None = None
        self._poll = QTimer(self, interval=POLL_MS)
        self._poll.timeout.connect(self.check)

    def start(self) -> None:
        """Start the agent unless ours runs already."""
        if self._process is not None:
            return
        try:
            private_dir(self._log_file.parent)
            with self._log_file.open("wb") as log_file:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log_file,
                    stderr=log_file,
                    start_new_session=True,
                    env=os.environ | {"COLUMNS": WIDE},
                )
        except OSError as error:
            self._set(AgentRun(failure=f"the agent could not be started: {error.strerror or error}"))
            return
        self._enter(Phase.RUNNING)
        self._set(AgentRun(ours=True))
        self._poll.start()

    def stop(self, ask: Callable[[], bool], when_stopped: Callable[[], None]) -> None:
        """End our agent, then call `when_stopped` (at once if there is none).

        `ask` sends it `stop`, and is False if it cannot. The agent has 5 s to hand its work back before it is
        terminated, and 5 s more before it is killed.
        """
        self._when_stopped = when_stopped
        if self._process is None:
            when_stopped()
        elif self._phase is Phase.RUNNING:
            if ask():
                self._enter(Phase.ASKED_TO_STOP)
            else:
                self._process.terminate()
                self._enter(Phase.TERMINATED)

    def check(self) -> None:
        """Look whether the process still lives; called by a timer."""
        process = self._process
        if process is None:
            return
        code = process.poll()
        if code is not None:
            self._ended(code)
        elif self._phase is Phase.ASKED_TO_STOP and self._in_phase_s() > STOP_S:
            process.terminate()
            self._enter(Phase.TERMINATED)
        elif self._phase is Phase.TERMINATED and self._in_phase_s() > STOP_S:
            process.kill()

    def _ended(self, code: int) -> None:
        settled = self._in_phase_s() > SETTLED_S
        asked = self._phase is not Phase.RUNNING
        self._poll.stop()
        self._process = None
        self._enter(Phase.NONE)
        if asked or code in (0, AgentAlreadyRunning.exit_code):
            self._set(AgentRun())
        elif settled:
            self._set(AgentRun())
            self.start()
        else:
            self._set(AgentRun(failure=f"the agent ended: {last_line(self._log_file) or f'exit code {code}'}"))
        if self._when_stopped is not None:
            self._when_stopped()

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._phase_since = self._monotonic()

    def _in_phase_s(self) -> float:
        return self._monotonic() - self._phase_since

    def _set(self, run: AgentRun) -> None:
        self.run = run
        self.changed.emit()


def last_line(path: Path) -> str:
    """The last line with something in it, or nothing where there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
