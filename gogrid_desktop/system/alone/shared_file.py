"""The turn where there is a folder for all users: a lock on a file there, which its holder's end releases.

Windows: %ProgramData%; macOS: /Users/Shared. Not run on real hardware.
"""

from __future__ import annotations

import logging
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)


class FileTurn:
    """`folder`: every user may write to it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "gogrid-sharing.lock"
        self._lock = FileLock(self._path, mode=0o666)

    def take(self) -> str:
        if self._lock.is_locked:
            return ""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return "the agent of another user"
        except OSError as error:
            log.warning("whether another agent shares cannot be told: %s", error)
            return f"nobody can tell who ({self._path} cannot be locked), but another agent"
        return ""

    def let_go(self) -> None:
        self._lock.release()
