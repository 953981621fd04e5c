"""A private X desktop for a bench: Xvfb, the window manager openbox and, where it is wanted, the panel tint2."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from Xlib import X
from Xlib.display import Display

PROGRAMS = ("Xvfb", "openbox", "tint2", "xdotool")
PATIENCE_S = 20.0
_TINT2 = """
panel_items = S
panel_position = bottom right horizontal
panel_size = 100% 32
"""


def missing(programs: Iterable[str] = PROGRAMS) -> list[str]:
    """Which of these programs are not installed."""
    return [name for name in programs if shutil.which(name) is None]


def until(what: str, holds: Callable[[], bool], within_s: float = PATIENCE_S, every_s: float = 0.05) -> None:
    """Wait until it holds. Raises TimeoutError."""
    end_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end_s:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        time.sleep(every_s)


class PrivateDesktop:
    """`environment`: what programs on it need beside their own; `x`: a connection to it. Use as a context manager."""

    def __init__(self, *, panel: bool) -> None:
        self.environment: dict[str, str] = {}
        self.home = Path(tempfile.mkdtemp(prefix="gogrid-bench-"))
        self._panel = panel
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.x.close()
        self._stop()

    def run(self, *command: str, folder: Path | None = None, **more: str) -> subprocess.Popen[bytes]:
        """Start a program on this desktop; it ends with it."""
        return self._run(command, {**os.environ, **self.environment, "HOME": str(self.home), **more}, folder=folder)

    def xdotool(self, *words: str) -> str:
        """What it prints; nothing where it finds nothing."""
        environment = {**os.environ, **self.environment}
        return subprocess.run(["xdotool", *words], env=environment, capture_output=True, text=True).stdout

    def _start(self) -> None:
        reader, writer = os.pipe()
        command = ("Xvfb", "-displayfd", str(writer), "-screen", "0", "1024x768x24", "-nolisten", "tcp", "-noreset")
        with os.fdopen(reader) as number:
            self._run(command, dict(os.environ), keep=(writer,))
            os.close(writer)
            name = f":{number.readline().strip()}"
        self.environment = {
            "DISPLAY": name,
            "XDG_SESSION_TYPE": "x11",
            "WAYLAND_DISPLAY": "",
            "QT_QPA_PLATFORM": "xcb",
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",  # the tray is the panel's own, as with any plain window manager
        }
        self.x = Display(name)
        self.run("openbox", "--sm-disable")
        root, atom = self.x.screen().root, self.x.intern_atom("_NET_SUPPORTING_WM_CHECK")
        until("the window manager", lambda: root.get_full_property(atom, X.AnyPropertyType) is not None)
        if self._panel:
            config = self.home / "tint2rc"
            config.write_text(_TINT2)
            self.run("tint2", "-c", str(config))
            tray = self.x.intern_atom("_NET_SYSTEM_TRAY_S0")
            until("the panel's tray", lambda: self.x.get_selection_owner(tray) != X.NONE)

    def _run(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        keep: tuple[int, ...] = (),
        folder: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        with (self.home / f"{Path(command[0]).name}.log").open("ab") as said:
            process = subprocess.Popen(
                command,
                env=environment,
                pass_fds=keep,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        self._started.append(process)
        return process

    def _stop(self) -> None:
        for process in reversed(self._started):
            process.terminate()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._started.clear()
        shutil.rmtree(self.home, ignore_errors=True)
