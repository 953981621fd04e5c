"""The schedule as people write it: what spans mean, what is refused with which words, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.spans import Span, SpanError, format_spans, parse_profile, parse_span, parse_spans
from gogrid_desktop.core.windows import DEFAULT_GRID, HOURS, WeekGrid, format_grid, parse_grid

B, C, A, P = "B" * 24, "C" * 24, "A" * 24, "P" * 24
OFFICE = "B" * 9 + "C" * 8 + "B" * 7


def rows(*spans: str, rest: Profile = Profile.BALANCED) -> list[str]:
    return list(format_grid(parse_spans(spans, rest)))


# --- what they mean --------------------------------------------------------------------------------------------------


def test_a_span_gives_its_hours_on_its_days() -> None:
    assert rows("mon-fri 09:00-17:00 conservative") == [OFFICE] * 5 + [B] * 2


def test_a_span_over_midnight_runs_into_the_next_day_and_from_sunday_into_monday() -> None:
    assert rows("daily 22-7 aggressive") == list(format_grid(DEFAULT_GRID))
    assert rows("sun 22-7 aggressive") == ["A" * 7 + "B" * 17] + [B] * 5 + ["B" * 22 + "AA"]


def test_several_spans_may_touch() -> None:
    week = rows("weekend 10-12 paused", "sat 12-13 aggressive", "Friday 22-24 aggressive", "sat 0-10 aggressive")
    assert week[4:] == ["B" * 22 + "AA", "A" * 10 + "PPA" + "B" * 11, "B" * 10 + "PP" + "B" * 12]


def test_the_rest_is_what_no_span_covers() -> None:
    assert rows("sat 0-24 aggressive", rest=Profile.PAUSED) == [P] * 5 + [A, P]
    assert rows() == [B] * 7


@pytest.mark.parametrize(
    ("days", "numbers"),
    [
        ("mon", (0,)),
        ("SUNDAY", (6,)),
        ("mon,wed", (0, 2)),
        ("wed,mon,wed", (0, 2)),
        ("mon-wed,sat", (0, 1, 2, 5)),
        ("sat-mon", (0, 5, 6)),
        ("tue-tue", (1,)),
        ("daily", tuple(range(7))),
        ("weekdays", tuple(range(5))),
        ("weekend,fri", (4, 5, 6)),
    ],
)
def test_days_are_named_in_several_ways(days: str, numbers: tuple[int, ...]) -> None:
    assert parse_span(f"{days} 9-17 paused").days == numbers


@pytest.mark.parametrize(
    ("hours", "begin", "length"),
    [
        ("9-17", 9, 8),
        ("09:00-17:00", 9, 8),
        ("9-17:00", 9, 8),
        ("0-24", 0, 24),
        ("22-24", 22, 2),
        ("22-0", 22, 2),
        ("23-22", 23, 23),
        ("0-1", 0, 1),
    ],
)
def test_hours_are_whole_ones(hours: str, begin: int, length: int) -> None:
    assert parse_span(f"  mon  {hours} Paused ") == Span((0,), begin, length, Profile.PAUSED)


# --- what is refused -------------------------------------------------------------------------------------------------

_EXAMPLE = "For example: mon-fri 09:00-17:00 conservative"
_DAYS = "mon to sun, mon-fri, mon,wed, daily, weekdays or weekend"
_HOURS = "two whole hours, 9-17 or 09:00-17:00"
_RANGE = "a day has hours from 0 to 23, and 24 only as an end"
_WHOLE = "the schedule has whole hours"

BAD = [
    ("someday 9-17 paused", "days", "someday", _DAYS, _EXAMPLE),
    ("mon- 9-17 paused", "days", "mon-", _DAYS, _EXAMPLE),
    ("mon-tue-wed 9-17 paused", "days", "mon-tue-wed", _DAYS, _EXAMPLE),
    ("mon,,tue 9-17 paused", "days", "mon,,tue", _DAYS, _EXAMPLE),
    ("mon-daily 9-17 paused", "days", "mon-daily", _DAYS, _EXAMPLE),
    ("mon 9to5 paused", "hours", "9to5", _HOURS, _EXAMPLE),
    ("mon 9 paused", "hours", "9", _HOURS, _EXAMPLE),
    ("mon -3-5 paused", "hours", "-3-5", _HOURS, _EXAMPLE),
    ("mon ٩-٩ paused", "hours", "٩-٩", _HOURS, _EXAMPLE),
    ("mon 24-5 paused", "hours", "24-5", _RANGE, _EXAMPLE),
    ("mon 9-25 paused", "hours", "9-25", _RANGE, _EXAMPLE),
    ("mon 09:30-17:00 paused", "hours", "09:30-17:00", _WHOLE, "Write 9-17, or the hours beside them."),
    ("mon 9-17:15 paused", "hours", "9-17:15", _WHOLE, "Write 9-17, or the hours beside them."),
    ("mon 9-9 paused", "hours", "9-9", "it could be a whole day or nothing", "For a whole day write 0-24."),
    ("mon 0-0 paused", "hours", "0-0", "it could be a whole day or nothing", "For a whole day write 0-24."),
    (
        "mon 9-17 full",
        "profile",
        "full",
        "paused, conservative, balanced, aggressive",
        "For example: balanced",
    ),
    ("mon 9-17", "span", "mon 9-17", "days, hours and a profile", _EXAMPLE),
    ("mon 9 - 17 paused", "span", "mon 9 - 17 paused", "days, hours and a profile", _EXAMPLE),
    ("", "span", "", "days, hours and a profile", _EXAMPLE),
]


@pytest.mark.parametrize(("text", "field", "value", "allowed", "remedy"), BAD)
def test_what_cannot_be_read_is_refused_with_field_value_and_remedy(
    text: str, field: str, value: str, allowed: str, remedy: str
) -> None:
    with pytest.raises(SpanError) as caught:
        parse_spans([text])
    error = caught.value
    assert (error.field, error.value, error.allowed, error.remedy) == (field, value, allowed, remedy)


def test_a_rest_that_is_no_profile_is_refused_by_its_own_name() -> None:
    with pytest.raises(SpanError) as caught:
        parse_profile("most", "--rest")
    assert (caught.value.field, caught.value.value) == ("--rest", "most")


@pytest.mark.parametrize(
    ("spans", "late", "other", "hour"),
    [
        (["mon-fri 9-17 conservative", "fri 16-18 paused"], 1, 0, "Friday 16:00"),
        (["mon 0-6 paused", "sun 22-7 aggressive"], 1, 0, "Monday 00:00"),
        (["daily 22-7 aggressive", "sat 12-13 paused", "weekend 6-10 paused"], 2, 0, "Saturday 06:00"),
        (["wed 9-10 paused", "wed 9-10 paused"], 1, 0, "Wednesday 09:00"),
        (["tue 5-6 paused", "mon 5-6 paused", "mon-tue 5-6 balanced"], 2, 1, "Monday 05:00"),
    ],
)
def test_spans_that_overlap_are_both_named_with_the_first_hour(
    spans: list[str], late: int, other: int, hour: str
) -> None:
    with pytest.raises(SpanError) as caught:
        parse_spans(spans)
    error = caught.value
    assert (error.field, error.value) == ("span", spans[late])
    assert error.allowed == f'it overlaps "{spans[other]}", first on {hour}'
    assert error.remedy == "Shorten one of them, or leave it out."


# --- and back --------------------------------------------------------------------------------------------------------

#: Grids of people, and the fewest spans for them.
WEEKS: list[tuple[list[str], tuple[str, ...], Profile]] = [
    (list(format_grid(DEFAULT_GRID)), ("daily 22:00-07:00 aggressive",), Profile.BALANCED),
    ([OFFICE] * 5 + [B] * 2, ("mon-fri 09:00-17:00 conservative",), Profile.BALANCED),
    ([B] * 7, (), Profile.BALANCED),
    ([P] * 7, (), Profile.PAUSED),
    ([A] * 5 + [B] * 2, ("mon-fri 00:00-24:00 aggressive",), Profile.BALANCED),
    ([P] * 5 + [A] * 2, ("weekend 00:00-24:00 aggressive",), Profile.PAUSED),
    (
        ["A" * 7 + "B" * 15 + "AA"] * 5 + [A] * 2,
        ("mon-fri 07:00-22:00 balanced",),
        Profile.AGGRESSIVE,
    ),
    (
        ["A" * 7 + "B" * 2 + "C" * 8 + "B" * 5 + "AA"] * 5 + ["A" * 7 + "B" * 15 + "AA"] * 2,
        ("daily 22:00-07:00 aggressive", "mon-fri 09:00-17:00 conservative"),
        Profile.BALANCED,
    ),
    (
        ["A" * 7 + B[7:]] + [B] * 3 + ["B" * 22 + "AA"] + [A] * 2,
        ("fri-sun 22:00-07:00 aggressive", "weekend 07:00-22:00 aggressive"),
        Profile.BALANCED,
    ),
    ([OFFICE, B, OFFICE, B, OFFICE, OFFICE, B], ("mon,wed,fri,sat 09:00-17:00 conservative",), Profile.BALANCED),
]


@pytest.mark.parametrize(("week", "spans", "rest"), WEEKS)
def test_a_week_is_said_in_few_spans(week: list[str], spans: tuple[str, ...], rest: Profile) -> None:
    said, left = format_spans(parse_grid(week))
    assert left is rest
    assert sorted(said) == sorted(spans)
    assert parse_spans(said, left) == parse_grid(week)


spans = st.builds(
    Span,
    st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    st.integers(0, 23),
    st.integers(1, 23),
    st.sampled_from(Profile),
)


@given(spans | st.builds(Span, spans.map(lambda span: span.days), st.just(0), st.just(24), st.sampled_from(Profile)))
def test_a_span_is_read_from_its_own_words(span: Span) -> None:
    assert parse_span(str(span)) == span


@given(st.lists(spans, max_size=6), st.sampled_from(Profile))
def test_a_grid_of_spans_is_said_and_read_again(drawn: list[Span], rest: Profile) -> None:
    hours = [rest] * (7 * HOURS)
    for span in drawn:
        for hour in span.hours():
            hours[hour] = span.profile
    letters = "".join(hour.name[0] for hour in hours)
    grid = parse_grid([letters[day * HOURS : (day + 1) * HOURS] for day in range(7)])
    said, left = format_spans(grid)
    assert parse_spans(said, left) == grid


@settings(max_examples=10)
@given(st.lists(st.text("PCBA", min_size=24, max_size=24), min_size=7, max_size=7).map(parse_grid))
def test_any_grid_at_all_can_be_said(grid: WeekGrid) -> None:
    said, left = format_spans(grid)
    assert parse_spans(said, left) == grid
