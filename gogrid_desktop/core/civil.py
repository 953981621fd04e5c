"""A moment as clocks on the wall show it, and what the week grid says of the time after it.

Civil time does not go on evenly: where the clocks change, an hour is left out or comes twice. Whoever adds seconds to a
civil moment does it here.
"""

from __future__ import annotations

from dataclasses import dataclass

from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.windows import DAY_S, Shift, WeekGrid, moved


@dataclass(frozen=True, slots=True)
class CivilTime:
    """`weekday` 0 = Monday; `second_of_day` 0..86400, end excluded; `shift`: when the clocks change next, if soon."""

    weekday: int
    second_of_day: float
    shift: Shift | None = None

    def after(self, seconds: float) -> CivilTime:
        """So many seconds later. Of what comes after the next shift nothing is known."""
        shift = self.shift
        if shift is None:
            return CivilTime(*moved(self.weekday, self.second_of_day, seconds))
        later = None if seconds >= shift.in_s else Shift(shift.in_s - seconds, shift.by_s)
        return CivilTime(*moved(self.weekday, self.second_of_day, shift.wall_s(seconds)), later)


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `begin` on, for `seconds`, `profile` is the most that may be given; `end` is the civil time then."""

    profile: Profile
    begin: CivilTime
    end: CivilTime
    seconds: float

    @property
    def shifted_s(self) -> float:
        """By how much the clocks are moved meanwhile; 0: they are not."""
        shift = self.begin.shift
        return 0.0 if shift is None or shift.in_s > self.seconds else shift.by_s


def stretches(grid: WeekGrid, now: CivilTime, for_s: float = DAY_S) -> tuple[Stretch, ...]:
    """What the grid says from `now` on, for so many seconds, cut where the ceiling changes."""
    found: list[Stretch] = []
    left_s = for_s
    while left_s > 0:
        profile, in_s = grid.at_and_next(now.weekday, now.second_of_day, now.shift)
        seconds = left_s if in_s is None else min(in_s, left_s)
        end = now.after(seconds)
        found.append(Stretch(profile, now, end, seconds))
        now, left_s = end, left_s - seconds
    return tuple(found)
