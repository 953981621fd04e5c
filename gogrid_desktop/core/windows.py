"""The week grid: for each of the 7 x 24 civil hours of a week, the most that may be given.

It works on civil time alone (a weekday and a second of that day, as a clock on the wall shows them), so that a night
from 22 to 7 is the same night on the day the clocks change: an hour that the clock shows twice has its ceiling twice,
one that it leaves out has none. Only how long it is until a ceiling changes needs to know of a `Shift`. A grid is
written as seven strings of 24 letters, Monday first, P paused, C conservative, B balanced, A aggressive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gogrid_desktop.core.profiles import Profile

HOURS = 24
DAYS = 7
HOUR_S = 3600
DAY_S = HOURS * HOUR_S
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_LETTERS = {"P": Profile.PAUSED, "C": Profile.CONSERVATIVE, "B": Profile.BALANCED, "A": Profile.AGGRESSIVE}
_LETTER_OF = {profile: letter for letter, profile in _LETTERS.items()}

#: Aggressive from 22 to 7, balanced by day.
DEFAULT_ROWS = ("A" * 7 + "B" * 15 + "A" * 2,) * DAYS


@dataclass(frozen=True, slots=True)
class Shift:
    """The clocks change: in `in_s` seconds the one on the wall moves by `by_s`, forward where it is positive."""

    in_s: float
    by_s: float

    def wall_s(self, seconds: float) -> float:
        """How far the clock on the wall moves while so many seconds pass."""
        return seconds + self.by_s if seconds >= self.in_s else seconds


@dataclass(frozen=True, slots=True)
class WeekGrid:
    """168 ceilings, Monday 00-01 first."""

    hours: tuple[Profile, ...]
    _ahead: tuple[int, ...] = field(init=False, compare=False, repr=False)  # hours until another ceiling; 0: never

    def __post_init__(self) -> None:
        count = DAYS * HOURS
        if len(self.hours) != count:
            raise ValueError(f"a week has {count} hours, not {len(self.hours)}")
        ahead = [0] * count
        if len(set(self.hours)) > 1:
            for index in reversed(range(2 * count)):
                same = self.hours[index % count] == self.hours[(index + 1) % count]
                ahead[index % count] = ahead[(index + 1) % count] + 1 if same else 1
        object.__setattr__(self, "_ahead", tuple(ahead))

    def at(self, weekday: int, second_of_day: float) -> Profile:
        """The ceiling at this civil moment; `weekday` 0 = Monday."""
        return self.hours[_index(weekday, second_of_day)]

    def next_change_s(self, weekday: int, second_of_day: float, shift: Shift | None = None) -> float | None:
        """Seconds until the ceiling changes; None when it is the same all week. `shift`: the next one."""
        return self.at_and_next(weekday, second_of_day, shift)[1]

    def at_and_next(
        self, weekday: int, second_of_day: float, shift: Shift | None = None
    ) -> tuple[Profile, float | None]:
        """Both at once, for whoever asks often."""
        index = _index(weekday, second_of_day)
        ahead, profile = self._ahead[index], self.hours[index]
        if not ahead:
            return profile, None
        in_s = ahead * HOUR_S - second_of_day % HOUR_S
        if shift is None or in_s < shift.in_s:
            return profile, in_s
        weekday, second_of_day = moved(weekday, second_of_day, shift.wall_s(shift.in_s))
        beyond, beyond_s = self.at_and_next(weekday, second_of_day)
        return profile, shift.in_s if beyond is not profile or beyond_s is None else shift.in_s + beyond_s


def moved(weekday: int, second_of_day: float, wall_s: float) -> tuple[int, float]:
    """Weekday and second of the day after the clock on the wall moved by so much."""
    # To the microsecond: a sum of fractions that falls short of a whole hour by less is that hour.
    days, second_of_day = divmod(round(second_of_day + wall_s, 6), DAY_S)
    return (weekday + int(days)) % DAYS, second_of_day


def _index(weekday: int, second_of_day: float) -> int:
    """Which of the 168 hours; a leap second (23:59:60) still belongs to its day."""
    return weekday * HOURS + min(int(second_of_day // HOUR_S), HOURS - 1)


def parse_grid(rows: Sequence[str]) -> WeekGrid:
    """Read seven strings of 24 letters, any case. Raises ValueError, which names the day and what is wrong with it."""
    if len(rows) != DAYS:
        raise ValueError(f"a week has 7 rows, not {len(rows)}")
    hours: list[Profile] = []
    for day, row in zip(WEEKDAYS, rows, strict=True):
        if len(row) != HOURS:
            raise ValueError(f"{day} has {len(row)} letters instead of 24")
        for letter in row.upper():
            if letter not in _LETTERS:
                raise ValueError(f"{day} has the letter {letter!r}; only P, C, B and A mean something")
            hours.append(_LETTERS[letter])
    return WeekGrid(tuple(hours))


def format_grid(grid: WeekGrid) -> tuple[str, ...]:
    """Seven strings of 24 letters: the inverse of `parse_grid`."""
    letters = "".join(_LETTER_OF[profile] for profile in grid.hours)
    return tuple(letters[start : start + HOURS] for start in range(0, DAYS * HOURS, HOURS))


DEFAULT_GRID = parse_grid(DEFAULT_ROWS)
