"""Where nothing is known of the screen: macOS so far, too."""

from __future__ import annotations

from gogrid_desktop.core.screen import Screen


class NullScreen:
    name = "none"

    def read(self) -> Screen:
        return Screen(None)

    def front(self) -> str:
        return ""
