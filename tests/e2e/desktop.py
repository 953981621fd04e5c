"""A real X desktop for tests: Xvfb, the window manager openbox and the panel tint2 with its tray, on its own display.

Used as a context manager, or through the fixture `desktop`. All processes are stopped by their ids.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import pytest
from Xlib import X, display
from Xlib.error import BadDrawable, BadWindow

PROGRAMS = ("Xvfb", "openbox", "tint2", "xdotool", "import")
WIDTH_PX, HEIGHT_PX, PANEL_PX = 800, 600, 32
BACKGROUND = 0x51606E
PATIENCE_S = 20.0
#: Programs that do not answer in this time are stuck.
STEP_S = 0.05

_TINT2 = f"""
rounded = 0
background_color = {{background}} 100
border_width = 0
panel_items = S
panel_monitor = all
panel_position = bottom right horizontal
panel_size = 100% {PANEL_PX}
panel_margin = 0 0
panel_padding = 4 2 4
panel_background_id = 1
panel_dock = 0
wm_menu = 0
panel_layer = top
systray_padding = 4 3 4
systray_background_id = 0
systray_icon_size = 24
systray_sort = ascending
"""

T = TypeVar("T")


def until(what: str, probe: Callable[[], T | None], within_s: float = PATIENCE_S) -> T:
    """The first answer of `probe` that is neither None nor False; an AssertionError naming `what` after `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        answer = probe()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within_s:g} s")
        time.sleep(STEP_S)


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Desktop:
    """`name` is the display (`:7`), `env` the environment for programs on it, `home` an empty HOME."""

    def __init__(self, panel_colour: str = "#202020", with_panel: bool = True) -> None:
        self.name = ""
        self.env: dict[str, str] = {}
        self.home = Path(tempfile.mkdtemp(prefix="gg-desktop-"))
        self._panel_colour = panel_colour
        self._with_panel = with_panel
        self._x: Any = None
        self._panel: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Desktop:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        reader, writer = os.pipe()
        screen = ["-screen", "0", f"{WIDTH_PX}x{HEIGHT_PX}x24"]
        with os.fdopen(reader) as number:
            self._run(
                ["Xvfb", "-displayfd", str(writer), *screen, "-nolisten", "tcp", "-noreset"],
                dict(os.environ),
                pass_fds=(writer,),
            )
            os.close(writer)
            self.name = f":{number.readline().strip()}"
        assert self.name != ":", "Xvfb did not start"
        foreign = ("DBUS_SESSION_BUS_ADDRESS", "WAYLAND_DISPLAY", "XDG_SESSION_TYPE", "QT_QPA_PLATFORM", "GOGRID_HOME")
        self.env = {name: value for name, value in os.environ.items() if name not in foreign} | {
            "DISPLAY": self.name,
            "HOME": str(self.home),
            # No session bus: the tray must be the panel's own, as with any plain window manager.
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        }
        self._x = display.Display(self.name)
        root = self._x.screen().root
        root.change_attributes(background_pixel=BACKGROUND)
        root.clear_area(0, 0, 0, 0)
        self._run(["openbox", "--sm-disable"], self.env)
        until("the window manager", lambda: self.has_property("_NET_SUPPORTING_WM_CHECK"))
        if self._with_panel:
            self.start_panel()

    def stop(self) -> None:
        """End everything that runs on it."""
        if self._x is not None:
            self._x.close()
            self._x = None
        for process in reversed(self._started):
            stop(process)
        self._started.clear()
        shutil.rmtree(self.home, ignore_errors=True)

    def start_panel(self) -> None:
        """Start tint2 and wait for its tray."""
        config = self.home / "tint2rc"
        config.write_text(_TINT2.format(background=self._panel_colour))
        self._panel = self._run(["tint2", "-c", str(config)], self.env)
        until("the panel's tray", self.tray_owner)

    def stop_panel(self) -> None:
        """End the panel as a crash does, and wait until its tray is gone."""
        assert self._panel is not None
        self._panel.kill()
        self._panel.wait()
        until("the tray to go", lambda: self.tray_owner() is None)

    def run(self, command: Sequence[str], **extra_env: str) -> subprocess.Popen[bytes]:
        """Start a program on this desktop; it is stopped with it."""
        return self._run(command, self.env | extra_env)

    def xdotool(self, *words: str) -> str:
        done = subprocess.run(["xdotool", *words], env=self.env, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, f"xdotool {' '.join(words)}: {done.stderr}"
        return done.stdout

    def screenshot(self, path: Path, area: str = "", window: str = "root") -> Path:
        """The screen as a picture, its part `WxH+X+Y`, or one window with its frame."""
        part = ["-frame"] if window != "root" else ["-crop", area, "+repage"] if area else []
        command = ["import", "-window", window, *part, str(path)]
        subprocess.run(command, env=self.env, check=True, timeout=PATIENCE_S)
        return path

    def tray_owner(self) -> int | None:
        """The window that owns the tray of the first screen."""
        owner = self._x.get_selection_owner(self._x.intern_atom("_NET_SYSTEM_TRAY_S0"))
        return None if owner == X.NONE else int(owner.id)

    def has_property(self, name: str) -> bool:
        return len(self._property(self._x.screen().root, name)) > 0

    def tray_icon(self) -> tuple[int, int]:
        """The middle of the first icon in the tray, in pixels of the screen; waits until one is there."""
        return until("an icon in the tray", self._embedded)

    def has_tray_icon(self) -> bool:
        return self._embedded() is not None

    def menu(self) -> int | None:
        """The window of an open menu."""
        kind, popup = "_NET_WM_WINDOW_TYPE", self._x.intern_atom("_NET_WM_WINDOW_TYPE_POPUP_MENU")
        return self._find(lambda window: popup in self._property(window, kind), lambda window: int(window.id))

    def _embedded(self) -> tuple[int, int] | None:
        """XEmbed clients are windows with `_XEMBED_INFO` somewhere below a window of the panel."""
        return self._find(lambda window: len(self._property(window, "_XEMBED_INFO")) > 0, self._middle)

    def _find(self, wanted: Callable[[Any], bool], answer: Callable[[Any], T]) -> T | None:
        """`answer` for the first visible window that is wanted."""
        try:
            for window in self._below(self._x.screen().root):
                if wanted(window) and window.get_attributes().map_state == X.IsViewable:
                    return answer(window)
        except (BadWindow, BadDrawable):
            return None  # one went away while we looked
        return None

    def _property(self, window: Any, name: str) -> Sequence[int]:
        found = window.get_full_property(self._x.intern_atom(name), X.AnyPropertyType)
        return () if found is None else found.value

    def _middle(self, window: Any) -> tuple[int, int]:
        box = window.get_geometry()
        corner = self._x.screen().root.translate_coords(window, 0, 0)
        return (corner.x + box.width // 2, corner.y + box.height // 2)

    def _below(self, window: Any) -> Iterator[Any]:
        for child in window.query_tree().children:
            yield child
            yield from self._below(child)

    def visible_windows(self) -> dict[str, str]:
        """Window id to title of what the window manager shows."""
        found = subprocess.run(
            ["xdotool", "search", "--onlyvisible", "--name", "."], env=self.env, capture_output=True, text=True
        ).stdout.split()
        return {number: self.xdotool("getwindowname", number).strip() for number in found}

    def _run(
        self, command: Sequence[str], env: dict[str, str], pass_fds: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        log = (self.home / f"{Path(command[0]).name}.log").open("ab")
        with log:
            process = subprocess.Popen(
                command, env=env, pass_fds=pass_fds, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._started.append(process)
        return process


def stop(process: subprocess.Popen[bytes], within_s: float = 10.0) -> int:
    """Terminate by id, kill if it does not heed; the exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


@pytest.fixture
def desktop() -> Iterator[Desktop]:
    """A desktop with a panel; skipped, with the reason, where its programs are not installed."""
    if missing := missing_programs():
        pytest.skip(f"not installed: {', '.join(missing)}")
    with Desktop() as it:
        yield it
