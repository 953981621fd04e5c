"""The computer goes to sleep: it waits, for some seconds at most, until our work is handed back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gogrid_desktop.agent.sensors import Sensors
from gogrid_desktop.core.activity import Activity
from gogrid_desktop.core.policy import Decision
from gogrid_desktop.core.profiles import Profile

log = logging.getLogger(__name__)


class Departure:
    """`hand_over` returns when everything that was handed back has been taken."""

    def __init__(self, sensors: Sensors, hand_over: Callable[[], Awaitable[None]]) -> None:
        self._sensors, self._hand_over = sensors, hand_over
        self._leaving: asyncio.Task[None] | None = None

    def mind(self, activity: Activity | None, decision: Decision | None) -> None:
        """After each decision. Sleep is delayed while something is shared, and never blocked."""
        if activity is None or decision is None:
            return
        if activity.session.leaving:
            if self._leaving is None:
                log.info("the computer leaves (%s): work is handed back", activity.session.leaving)
                self._leaving = asyncio.create_task(self._leave(), name="departure")
            return
        self._leaving = None
        if decision.profile > Profile.PAUSED:
            self._sensors.delay_sleep()
        else:
            self._sensors.let_sleep()

    async def _leave(self) -> None:
        try:
            await self._hand_over()
        finally:
            self._sensors.let_sleep()
