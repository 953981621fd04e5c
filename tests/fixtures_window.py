"""A window on a real X server, and what programs ask their window manager."""

from __future__ import annotations

from Xlib import X, Xatom
from Xlib.display import Display
from Xlib.protocol.event import ClientMessage


class Program:
    """A program with one window on the X server."""

    def __init__(self, display: str, *, pid: int | None = None, fullscreen: bool = False) -> None:
        self.open = True
        self._display = Display(display)
        root = self._display.screen().root
        self.window = root.create_window(0, 0, 100, 80, 0, self._display.screen().root_depth)
        self.window.set_wm_class("film", "Film")
        if pid is not None:
            self.window.change_property(self._atom("_NET_WM_PID"), Xatom.CARDINAL, 32, [pid])
        if fullscreen:
            states = [self._atom("_NET_WM_STATE_FULLSCREEN")]
            self.window.change_property(self._atom("_NET_WM_STATE"), Xatom.ATOM, 32, states)
        self.window.map()
        self._display.sync()

    def minimise(self) -> None:
        self._ask("WM_CHANGE_STATE", 3)  # IconicState

    def move_to(self, desktop: int) -> None:
        self._ask("_NET_WM_DESKTOP", desktop)

    def leave_fullscreen(self) -> None:
        self._ask("_NET_WM_STATE", 0, self._atom("_NET_WM_STATE_FULLSCREEN"))

    def close(self) -> None:
        if self.open:
            self.open = False
            self._display.close()

    def _atom(self, name: str) -> int:
        return int(self._display.intern_atom(name))

    def _ask(self, what: str, *values: int) -> None:
        """Ask the window manager, as programs do."""
        data = (32, [*values, *[0] * (5 - len(values))])
        message = ClientMessage(window=self.window, client_type=self._atom(what), data=data)
        mask = X.SubstructureRedirectMask | X.SubstructureNotifyMask
        self._display.screen().root.send_event(message, event_mask=mask)
        self._display.sync()
