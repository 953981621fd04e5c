"""What a person does without touching anything, on Linux."""

from __future__ import annotations

from collections.abc import Callable

from gogrid_desktop.core.attention import Attention
from gogrid_desktop.system.attention.call import Calls
from gogrid_desktop.system.attention.game_mode import GameMode
from gogrid_desktop.system.attention.inhibitors import Inhibitors


class LinuxAttention:
    name = "inhibitors, GameMode, microphone and camera"

    def __init__(self, inhibitors: Inhibitors, game_mode: GameMode, calls: Calls) -> None:
        self._inhibitors = inhibitors
        self._game_mode = game_mode
        self._calls = calls

    def read(self) -> Attention:
        return Attention(self._inhibitors.read(), self._game_mode.read(), self._calls.read())

    def watch(self, changed: Callable[[], None]) -> None:
        self._inhibitors.watch(changed)
        self._game_mode.watch(changed)
