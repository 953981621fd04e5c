"""Idle time of an X11 session: the screensaver extension's counter (about 0.1 ms a query), and raw input while away.

It never counts in a Wayland session: XWayland sees the input of its own windows alone, and its counter grows while
somebody types next to them. Sources: X11 Screen Saver Extension, `XScreenSaverQueryInfo`; the X Input Extension 2.2
(XI2proto.txt): raw events go to whoever selects them on the root window, from version 2.1 on also while another
program, a game, has grabbed the device.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from select import select
from typing import Any

from Xlib.display import Display
from Xlib.ext import ge, xinput

from gogrid_desktop.core.idle import Kind
from gogrid_desktop.system.x11 import X11, X_ERRORS, x11_session

_EXTENSION = "MIT-SCREEN-SAVER"
_LIMIT_S = 1.0
_RAW_TOUCH_BEGIN = 22
_RAW_INPUT = sum(
    1 << event for event in (xinput.RawKeyPress, xinput.RawButtonPress, xinput.RawMotion, _RAW_TOUCH_BEGIN)
)


class X11Idle:
    name = "x11-screensaver"
    kind = Kind.COUNTER
    notifies = True

    def __init__(self) -> None:
        self._server = X11(self.name)
        self._watching = threading.Lock()
        self._input: _NextInput | None = None

    def idle_s(self) -> float | None:
        return self._server.ask(_idle_s)

    def watch_for_input(self, heard: Callable[[], None]) -> bool:
        if not x11_session():
            return False
        with self._watching:
            if self._input is None or not self._input.tell(heard):
                self._input = _NextInput(heard)
            return self._input.selected()

    def close(self) -> None:
        with self._watching:
            if self._input is not None:
                self._input.close()


class _NextInput:
    """A thread with a connection of its own until the first input; then, or when the server goes, it calls `heard`."""

    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard: Callable[[], None] | None = heard
        self._lock = threading.Lock()
        self._over = False
        self._settled = threading.Event()
        self._closing, self._close = socket.socketpair()
        threading.Thread(target=self._run, name="x11 input", daemon=True).start()

    def tell(self, heard: Callable[[], None]) -> bool:
        """Call this one instead; False: too late."""
        with self._lock:
            if not self._over:
                self._heard = heard
            return not self._over

    def selected(self) -> bool:
        """Whether the server tells; one that does not answer in time may yet do so later."""
        return self._settled.wait(_LIMIT_S) and not self._over

    def close(self) -> None:
        with self._lock:
            self._heard = None
            self._close.close()

    def _run(self) -> None:
        display, watched = None, False
        with suppress(*X_ERRORS):
            display = Display()
            watched = _select_raw_input(display)
            if watched:
                self._settled.set()
                self._wait(display)
        with self._lock:
            self._over, heard = True, self._heard
            self._close.close()
        self._settled.set()
        self._closing.close()
        if display is not None:
            with suppress(*X_ERRORS):
                display.close()
        if watched and heard is not None:
            heard()

    def _wait(self, display: Any) -> None:
        """Until there is input, or nobody wants to know."""
        wanted = True
        while wanted:
            while display.pending_events():
                if display.next_event().type == ge.GenericEventCode:
                    return
            wanted = self._closing not in select([display.fileno(), self._closing], [], [])[0]


def _select_raw_input(display: Any) -> bool:
    """Whether the server tells of raw input from now on."""
    if not display.has_extension(xinput.extname):
        return False
    opcode = display.display.get_extension_major(xinput.extname)
    version = xinput.XIQueryVersion(display=display.display, opcode=opcode, major_version=2, minor_version=2)
    if (version.major_version, version.minor_version) < (2, 2):
        return False
    display.screen().root.xinput_select_events([(xinput.AllDevices, _RAW_INPUT)])
    display.sync()
    return True


def _idle_s(display: Any) -> float | None:
    if not display.has_extension(_EXTENSION):
        return None
    return float(display.screen().root.screensaver_query_info().idle) / 1000.0
