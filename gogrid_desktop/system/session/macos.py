"""The session on macOS. Tested with faked calls; not run on real hardware.

Source: `CGSessionCopyCurrentDictionary` and its key for the console (CGSession.h); the key for a lock is documented
nowhere and known by use. Whose screen it is while ours is in the background, the owner of /dev/console tells: root at
the login window. Sleep is told to a run loop alone (IORegisterForSystemPower), which the agent has none of: `leaving`
stays empty, a sleep shows in the clock afterwards, and a watch is told nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gogrid_desktop.core.session import Session
from gogrid_desktop.system.core_foundation import CoreFoundation

FRAMEWORK = "/System/Library/Frameworks/CoreGraphics.framework/CoreGraphics"
_ON_CONSOLE, _LOCKED = "kCGSSessionOnConsoleKey", "CGSSessionScreenIsLocked"


class MacSession:
    """`framework`: CoreGraphics, loaded by ctypes; `uid`: whose session is ours."""

    name = "macos-session"

    def __init__(
        self, framework: Any, foundation: CoreFoundation, uid: int, console: Path = Path("/dev/console")
    ) -> None:
        self._copy = framework.CGSessionCopyCurrentDictionary
        self._copy.restype, self._copy.argtypes = ctypes.c_void_p, ()
        self._foundation = foundation
        self._uid = uid
        self._console = console

    def read(self) -> Session:
        said = self._foundation.take(self._copy())
        on_console = said.get(_ON_CONSOLE) if isinstance(said, dict) else None
        if on_console is None:
            return Session()
        if not on_console:
            another = self._console_uid() not in (None, 0, self._uid)
            return Session(active=False if another else None, nobody=False)
        return Session(active=True, locked=bool(said.get(_LOCKED, False)), nobody=False)

    def watch(self, changed: Callable[[], None]) -> None:
        """Nothing is told."""

    def delay_sleep(self) -> bool:
        return False

    def let_sleep(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""

    def _console_uid(self) -> int | None:
        try:
            return self._console.stat().st_uid
        except OSError:
            return None
