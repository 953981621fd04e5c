"""What a decision is made from: what was sensed, and what the person wants.

Both are plain values, so that a decision can be repeated, tested and shown. None always means unknown, never "nothing".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from gogrid_desktop.core.attention import Attention
from gogrid_desktop.core.civil import CivilTime
from gogrid_desktop.core.gpu_use import GpuUse
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.profiles import Limits, Profile
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.core.session import Session
from gogrid_desktop.core.windows import DEFAULT_GRID, Shift, WeekGrid

UNKNOWN_SESSION, UNKNOWN_ATTENTION = Session(), Attention()
#: Locked, without input for this long: away.
AWAY_LOCKED_S = 10.0


class Role(StrEnum):
    """What this machine is for; chosen by the person, never guessed."""

    DESKTOP = "desktop"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Activity:
    """What was sensed at one moment.

    `idle_s`: seconds since the last keyboard or pointer input, by the source `idle_source`; `weekday` (0 = Monday) and
    `second_of_day` (0..86400, end excluded): local civil time. `gpus`: those that the person lends, and `gpu_problem`
    why they cannot be seen any more, empty if they can. `others_cpu`: what other programs use of the whole processor,
    0..1. `metered`: the network costs by the byte. `programs`: which of the programs in `Preferences.pause_for` run.
    `other_agent`: who else on this computer shares, empty: nobody. `shift`: when the clocks change next, if it is soon.
    """

    idle_s: float | None
    idle_source: str
    weekday: int
    second_of_day: float
    power: Power
    screen: Screen
    jobs_running: int = 0
    session: Session = UNKNOWN_SESSION
    attention: Attention = UNKNOWN_ATTENTION
    gpus: tuple[GpuUse, ...] = ()
    gpu_problem: str = ""
    others_cpu: float | None = None
    metered: bool | None = None
    programs: frozenset[str] = frozenset()
    other_agent: str = ""
    shift: Shift | None = None

    def after(self, seconds: float) -> Activity:
        """The same, `seconds` later, if nobody touched anything and no job began or ended."""
        civil = CivilTime(self.weekday, self.second_of_day, self.shift).after(seconds)
        return replace(
            self,
            idle_s=None if self.idle_s is None else self.idle_s + seconds,
            weekday=civil.weekday,
            second_of_day=civil.second_of_day,
            shift=civil.shift,
        )


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What somebody else than the person allows: `profile`, and `limits` of its own (None: the profile's alone)."""

    profile: Profile = Profile.AGGRESSIVE
    sentence: str = "no administrator limits it"
    limits: Limits | None = None


NO_CEILING = Ceiling()


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the person wants.

    `sharing` is the switch, `snooze_until` the end of a snooze on the clock of `decide`'s `now`, `until_away` one that
    ends when they have gone; `anyway_until`: until then they want to share although they are there. `card` is the
    chosen card and `at_most` the menu's ceiling; `custom` are limits of the person's own (None: the card's alone).
    `pause_on_battery`: where the power comes from counts; `pause_on_fullscreen`: what fills the screen counts, but for
    the programs `fullscreen_ignored`; `pause_in_calls`, `pause_for_games`, `mind_metered`: that counts. `pause_for`:
    programs. All programs are executables in lower case. `gpu_limit_c`: how warm a GPU may become.
    """

    role: Role = Role.DESKTOP
    sharing: bool = True
    snooze_until: float | None = None
    until_away: bool = False
    anyway_until: float | None = None
    drain: bool = False
    card: Profile = Profile.AGGRESSIVE
    at_most: Profile = Profile.AGGRESSIVE
    custom: Limits | None = None
    away_after_s: float = 180.0
    while_present: Profile = Profile.CONSERVATIVE
    grid: WeekGrid = DEFAULT_GRID
    pause_on_battery: bool = True
    pause_on_fullscreen: bool = True
    fullscreen_ignored: frozenset[str] = frozenset()
    pause_in_calls: bool = True
    pause_for_games: bool = True
    mind_metered: bool = True
    pause_for: frozenset[str] = frozenset()
    gpu_limit_c: float = 80.0
    administrator: Ceiling = NO_CEILING


def away_after_s(activity: Activity, preferences: Preferences) -> float:
    """Without input for this long the person counts as away; sooner where they locked the screen or logged out."""
    session = activity.session
    if session.locked or session.nobody:
        return min(AWAY_LOCKED_S, preferences.away_after_s)
    return preferences.away_after_s


def is_away(activity: Activity, preferences: Preferences) -> bool:
    """Nobody sits before a server; on a desktop, unknown means present."""
    if preferences.role is Role.SERVER:
        return True
    if activity.idle_s is None:
        return bool(activity.session.nobody)
    return activity.idle_s >= away_after_s(activity, preferences)
