"""Where nothing is known of what a person does without touching anything."""

from __future__ import annotations

from collections.abc import Callable

from gogrid_desktop.core.attention import Attention


class NullAttention:
    name = "none"

    def read(self) -> Attention:
        return Attention()

    def watch(self, changed: Callable[[], None]) -> None:
        """Nothing ever changes."""
