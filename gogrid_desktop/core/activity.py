"""What a decision is made from: what was sensed, and what the person wants.

Both are plain values, so that a decision can be repeated, tested and shown. None always means unknown, never "nothing".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from gogrid_desktop.core.power import Power
from gogrid_desktop.core.profiles import Limits, Profile
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.core.windows import DAY_S, DAYS, DEFAULT_GRID, WeekGrid


class Role(StrEnum):
    """What this machine is for; chosen by the person, never guessed."""

    DESKTOP = "desktop"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Activity:
    """What was sensed at one moment.

    `idle_s`: seconds since the last keyboard or pointer input, by the source `idle_source`; `weekday` (0 = Monday) and
    `second_of_day` (0..86400, end excluded): local civil time.
    """

    idle_s: float | None
    idle_source: str
    weekday: int
    second_of_day: float
    power: Power
    screen: Screen
    jobs_running: int = 0

    def after(self, seconds: float) -> Activity:
        """The same, `seconds` later, if nobody touched anything and no job began or ended."""
        days, second_of_day = divmod(self.second_of_day + seconds, DAY_S)
        return replace(
            self,
            idle_s=None if self.idle_s is None else self.idle_s + seconds,
            weekday=(self.weekday + int(days)) % DAYS,
            second_of_day=second_of_day,
        )


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the person wants.

    `sharing` is the switch, `snooze_until` the end of a snooze on the clock of `decide`'s `now`; `card` is the chosen
    card and `at_most` the menu's ceiling; `custom` are limits of the person's own (None: the card's alone).
    `pause_on_battery`: where the power comes from counts; `pause_on_fullscreen`: what fills the screen counts, but for
    the programs `fullscreen_ignored`.
    """

    role: Role = Role.DESKTOP
    sharing: bool = True
    snooze_until: float | None = None
    drain: bool = False
    card: Profile = Profile.AGGRESSIVE
    at_most: Profile = Profile.AGGRESSIVE
    custom: Limits | None = None
    away_after_s: float = 180.0
    while_present: Profile = Profile.CONSERVATIVE
    grid: WeekGrid = DEFAULT_GRID
    pause_on_battery: bool = True
    pause_on_fullscreen: bool = True
    fullscreen_ignored: tuple[str, ...] = ()
