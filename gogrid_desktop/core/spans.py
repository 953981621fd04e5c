"""The week grid as people write it: spans such as "mon-fri 09:00-17:00 conservative", and back.

A span has days, hours and a profile. Days: `mon` .. `sun` (or in full), `mon-fri`, `mon,wed`, `daily`, `weekdays`,
`weekend`. Hours are whole ones, `9-17` or `09:00-17:00`; with an end before its beginning a span runs into the next
day, from Sunday into Monday too. 24 (or 0) at the end is midnight, a whole day is `0-24`; 9-9 could mean a day or
nothing, and is refused. What no span covers has the profile `rest`. Spans may not overlap: none goes before another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.windows import DAYS, HOURS, WEEKDAYS, WeekGrid

_WEEK = DAYS * HOURS
_LONG = tuple(day.lower() for day in WEEKDAYS)
_SHORT = tuple(day[:3] for day in _LONG)
_NAMED = {"daily": range(DAYS), "weekdays": range(5), "weekend": range(5, DAYS)}
_PROFILES = {profile.word: profile for profile in Profile}
_DAYS_HELP = "mon to sun, mon-fri, mon,wed, daily, weekdays or weekend"
_HOURS = re.compile("([0-9]{1,2})(:[0-9]{2})?-([0-9]{1,2})(:[0-9]{2})?")
_EXAMPLE = "For example: mon-fri 09:00-17:00 conservative"


class SpanError(ValueError):
    """`field` of a span is `value`, and only `allowed` is; `remedy` is a sentence."""

    def __init__(self, field: str, value: str, allowed: str, remedy: str) -> None:
        super().__init__(f"{field} = {value!r} is not allowed: {allowed}. {remedy}")
        self.field, self.value, self.allowed, self.remedy = field, value, allowed, remedy


@dataclass(frozen=True, slots=True)
class Span:
    """On each of `days` (0 = Monday), `profile` from the hour `begin` (0..23), for `length` hours (1..24)."""

    days: tuple[int, ...]
    begin: int
    length: int
    profile: Profile

    def hours(self) -> Iterator[int]:
        """Which of the 168 hours of the week, Monday 00-01 first."""
        for day in self.days:
            for hour in range(self.length):
                yield (day * HOURS + self.begin + hour) % _WEEK

    def __str__(self) -> str:
        end = self.begin + self.length
        end = end if end <= HOURS else end - HOURS
        return f"{_days_in_words(self.days)} {self.begin:02}:00-{end:02}:00 {self.profile.word}"


def parse_profile(word: str, field: str = "profile") -> Profile:
    """Raises SpanError."""
    profile = _PROFILES.get(word.lower())
    if profile is None:
        raise SpanError(field, word, ", ".join(_PROFILES), f"For example: {Profile.BALANCED.word}")
    return profile


def parse_span(text: str) -> Span:
    """Read one span, any case. Raises SpanError, which names what is wrong with it."""
    words = text.lower().split()
    if len(words) != 3:
        raise SpanError("span", text, "days, hours and a profile", _EXAMPLE)
    days, hours, profile = words
    return Span(_parse_days(days), *_parse_hours(hours), parse_profile(profile))


def parse_spans(texts: Iterable[str], rest: Profile = Profile.BALANCED) -> WeekGrid:
    """The grid of these spans; `rest` is what no span covers. Raises SpanError, where two overlap too."""
    hours, holder = [rest] * _WEEK, dict[int, str]()
    for text in texts:
        span = parse_span(text)
        taken = min((hour for hour in span.hours() if hour in holder), default=None)
        if taken is not None:
            raise SpanError(
                "span",
                text,
                f'it overlaps "{holder[taken]}", first on {_hour_in_words(taken)}',
                "Shorten one of them, or leave it out.",
            )
        for hour in span.hours():
            hours[hour], holder[hour] = span.profile, text
    return WeekGrid(tuple(hours))


def format_spans(grid: WeekGrid) -> tuple[tuple[str, ...], Profile]:
    """Few spans, the first days first, and the rest: `parse_spans` makes the same grid of them."""
    # The rest that needs the fewest spans; as often: balanced, which need not be said, or what most hours have.
    found = [(_spans(grid, rest), rest) for rest in Profile]
    spans, rest = min(
        found, key=lambda each: (len(each[0]), each[1] is not Profile.BALANCED, -grid.hours.count(each[1]))
    )
    return tuple(map(str, spans)), rest


def _spans(grid: WeekGrid, rest: Profile) -> list[Span]:
    """Spans for all hours that differ from `rest`: the shorter of two ways to cut the week."""
    by_hours = _cut(grid, rest, lambda span: (span.length * len(span.days), len(span.days), -span.begin))
    by_days = _cut(grid, rest, lambda span: (len(span.days), span.length, -span.begin))
    return min(by_hours, by_days, key=len)


def _cut(grid: WeekGrid, rest: Profile, worth: Callable[[Span], tuple[int, ...]]) -> list[Span]:
    """The span that is worth most, again and again, until all hours but those of `rest` are covered."""
    found: list[Span] = []
    left = {hour for hour in range(_WEEK) if grid.hours[hour] is not rest}
    while left:
        best = max(_possible(grid, left), key=worth)
        found.append(best)
        left.difference_update(best.hours())
    return sorted(found, key=lambda span: (span.days, span.begin))


def _possible(grid: WeekGrid, left: set[int]) -> Iterator[Span]:
    """Every span of hours that are left, on as many days as it can have."""
    runs = _runs(grid, left)
    for begin in range(HOURS):
        # From midnight a whole day; from another hour an hour less, because 9-9 means nothing.
        longest = HOURS if begin == 0 else HOURS - 1
        of_days = [(day, min(runs[day * HOURS + begin], longest)) for day in range(DAYS)]
        for profile in {grid.hours[day * HOURS + begin] for day, run in of_days if run}:
            same = [(day, run) for day, run in of_days if grid.hours[day * HOURS + begin] is profile]
            for length in {run for _, run in same if run}:
                yield Span(tuple(day for day, run in same if run >= length), begin, length, profile)


def _runs(grid: WeekGrid, left: set[int]) -> list[int]:
    """For each hour of the week, how many that are left follow with its profile, itself too; at most a day."""
    runs = [0] * _WEEK
    for hour in reversed(range(2 * _WEEK)):
        here, following = hour % _WEEK, (hour + 1) % _WEEK
        if here in left:
            more = runs[following] if grid.hours[here] is grid.hours[following] else 0
            runs[here] = min(more + 1, HOURS)
    return runs


def _parse_days(text: str) -> tuple[int, ...]:
    days: set[int] = set()
    for part in text.split(","):
        if part in _NAMED:
            days.update(_NAMED[part])
            continue
        first, dash, last = part.partition("-")
        begin = _parse_day(first, text)
        days.update((begin + more) % DAYS for more in range((_parse_day(last, text) - begin) % DAYS + 1 if dash else 1))
    return tuple(sorted(days))


def _parse_day(word: str, text: str) -> int:
    for names in (_SHORT, _LONG):
        if word in names:
            return names.index(word)
    raise SpanError("days", text, _DAYS_HELP, _EXAMPLE)


def _parse_hours(text: str) -> tuple[int, int]:
    """The first hour, and how many."""
    found = _HOURS.fullmatch(text)
    if found is None:
        raise SpanError("hours", text, "two whole hours, 9-17 or 09:00-17:00", _EXAMPLE)
    begin, end = int(found[1]), int(found[3])
    if begin >= HOURS or end > HOURS:
        raise SpanError("hours", text, "a day has hours from 0 to 23, and 24 only as an end", _EXAMPLE)
    if not {found[2], found[4]} <= {None, ":00"}:
        raise SpanError(
            "hours", text, "the schedule has whole hours", f"Write {begin}-{end}, or the hours beside them."
        )
    if begin == end:
        raise SpanError("hours", text, "it could be a whole day or nothing", "For a whole day write 0-24.")
    return begin, end - begin if end > begin else end + HOURS - begin


def _days_in_words(days: tuple[int, ...]) -> str:
    for name in ("daily", "weekend"):
        if days == tuple(_NAMED[name]):
            return name
    parts: list[list[int]] = []
    for day in days:
        if parts and parts[-1][-1] == day - 1:
            parts[-1].append(day)
        else:
            parts.append([day])
    return ",".join(
        f"{_SHORT[part[0]]}-{_SHORT[part[-1]]}" if len(part) > 2 else ",".join(_SHORT[day] for day in part)
        for part in parts
    )


def _hour_in_words(hour: int) -> str:
    return f"{WEEKDAYS[hour // HOURS]} {hour % HOURS:02}:00"
