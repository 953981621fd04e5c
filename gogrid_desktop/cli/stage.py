"""The demo's stage: coordinator, agent and tray as real processes below one folder, all gone at the end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from gogrid_desktop.core.status import AgentStatus
from gogrid_desktop.errors import AgentUnavailable, GoGridError
from gogrid_desktop.ipc import messages as m
from gogrid_desktop.ipc.client import call
from gogrid_desktop.paths import paths_below
from gogrid_desktop.worker.journal import ENVIRONMENT as JOURNAL

START_S = 60.0
STOP_S = 10.0
_GOGRID = (sys.executable, "-m", "gogrid_desktop")


class Stage:
    """Processes of one play. Use `open_stage`."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.journal = home / "worker-journal.jsonl"
        self.url = ""
        self._environment = {**os.environ, **environment, "GOGRID_HOME": str(home), JOURNAL: str(self.journal)}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def gogrid(self, *arguments: str) -> str:
        """Run a command to its end and return what it printed. Raises GoGridError with what it said."""
        done = subprocess.run([*_GOGRID, *arguments], env=self._environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise GoGridError(f"gogrid {arguments[0]} failed ({done.returncode}): {done.stderr.strip()}")
        return done.stdout.strip()

    def start_coordinator(self, port: int = 0, model: Path | None = None) -> None:
        """Serve a model (the starter's by default) on `port` (0: a free one) and wait until it answers."""
        offered = ("--starter",) if model is None else ("--model", str(model))
        command = ("coordinator", "serve", "--port", str(port), *offered, "--json")
        process = self._start("coordinator", (*_GOGRID, *command), pipe=True)
        if process.stdout is None:
            raise GoGridError("the coordinator has no output")
        line = process.stdout.readline()
        if not line:
            raise GoGridError(f"The coordinator did not start: {self._last_words('coordinator')}")
        self.url = json.loads(line)["url"]

    def start_agent(
        self, *, loaded: bool = True, plaintext: bool = True, command: Sequence[str] = (*_GOGRID, "agent", "run")
    ) -> None:
        """Start it; wait until it has loaded the model where `loaded` is asked for."""
        self._start("agent", (*command, *(["--allow-plaintext-token"] if plaintext else [])))
        if loaded:
            self.until(
                "the agent has loaded the model", lambda status: status.worker in ("ready", "idle", "processing")
            )

    def start_tray(self) -> bool:
        """Show the tray icon where there is a display; False where there is none."""
        if sys.platform == "linux" and not any(self._environment.get(each) for each in ("DISPLAY", "WAYLAND_DISPLAY")):
            return False
        self._start("tray", (*_GOGRID, "tray"))
        return True

    def tell(self, command: m.Command) -> AgentStatus:
        """Send the agent a command, as the tray does."""
        reply = call(paths_below(self.home).endpoint_file, command)
        if reply.status is None:
            raise GoGridError("the agent answered without its status")
        return reply.status

    def until(self, what: str, holds: Callable[[AgentStatus], bool], timeout_s: float = START_S) -> AgentStatus:
        """Wait until the agent's status is so. Raises GoGridError after `timeout_s`, or when the agent ended."""
        deadline = time.monotonic() + timeout_s
        status: AgentStatus | None = None
        while time.monotonic() < deadline:
            with contextlib.suppress(AgentUnavailable):
                status = self.tell(m.GetStatus(id=1))
                if holds(status):
                    return status
            if self.process("agent").poll() is not None:
                raise GoGridError(f"The agent ended: {self._last_words('agent')}")
            time.sleep(0.1)
        said = f"{status.headline}: {status.reason}" if status else self._last_words("agent")
        raise GoGridError(f"Waited {timeout_s:.0f} s until {what}. The agent says: {said}")

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The last one started as `coordinator`, `agent` or `tray`."""
        return self._processes[name]

    def close(self) -> None:
        """End everything that was started, the youngest first, and remove the folder."""
        for process in reversed(self._processes.values()):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self._processes.clear()
        shutil.rmtree(self.home, ignore_errors=True)

    def _start(self, name: str, command: Sequence[str], pipe: bool = False) -> subprocess.Popen[bytes]:
        with (self.home / f"{name}.log").open("ab") as said:
            process = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,  # Ctrl-C is for the demo, which then ends them in order
            )
        self._processes[name] = process
        return process

    def _last_words(self, name: str) -> str:
        return "\n".join((self.home / f"{name}.log").read_text(errors="replace").splitlines()[-3:])


@contextlib.contextmanager
def open_stage(environment: Mapping[str, str] | None = None) -> Iterator[Stage]:
    """A fresh folder; `environment` is added for all processes.

    Whatever happens, also Ctrl-C, SIGTERM and a closed terminal, nothing is left behind.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # SIGINT too: a shell without job control starts what it puts in the background with SIGINT ignored.
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    stage = Stage(Path(tempfile.mkdtemp(prefix="gogrid-demo-")), environment or {})
    try:
        yield stage
    finally:
        for name in names:  # a second Ctrl-C must not leave processes behind
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        stage.close()
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
