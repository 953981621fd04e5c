"""Where nothing is known of sessions."""

from __future__ import annotations

from collections.abc import Callable

from gogrid_desktop.core.session import Session


class NullSession:
    name = "none"

    def read(self) -> Session:
        return Session()

    def watch(self, changed: Callable[[], None]) -> None:
        """Nothing ever changes."""

    def delay_sleep(self) -> bool:
        return False

    def let_sleep(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""
