"""What the person, and whoever looks after the computer, want: as the parts that decide ask for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gogrid_desktop.agent.gpu_sense import Lent
from gogrid_desktop.agent.intent import Intent
from gogrid_desktop.config.ceiling import CeilingFile
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.core.activity import Ceiling, Preferences
from gogrid_desktop.system.alone import Turn


class Wishes:
    """`intent`: what was said last, beside the settings."""

    def __init__(self, settings: Callable[[], Settings], intent: Intent, ceiling: CeilingFile, turn: Turn) -> None:
        self.intent = intent
        self._settings, self._ceiling, self._turn = settings, ceiling, turn
        self._made: tuple[Settings, Ceiling, Preferences] | None = None

    def preferences(self) -> Preferences:
        """By the settings and the administrator's ceiling; made anew only where one of them has changed."""
        settings, ceiling = self._settings(), self._ceiling.read()
        if self._made is None or self._made[0] is not settings or self._made[1] is not ceiling:
            self._made = (settings, ceiling, replace(settings.preferences(), administrator=ceiling))
        return self._made[2]

    def lent(self) -> Lent:
        """Which GPUs, and beside whom."""
        settings = self._settings()
        beside = frozenset(name.lower() for name in settings.applications.share_beside)
        return Lent(settings.gpu.ceilings(), beside)

    def take_turn(self) -> str:
        """Empty when nobody else shares this computer, or it does not matter; otherwise who does."""
        return self._turn.take() if self._settings().sharing.take_turns else ""

    def let_go(self) -> None:
        """Somebody else may share."""
        self._turn.let_go()
