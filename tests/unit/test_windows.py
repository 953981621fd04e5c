from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.windows import DAY_S, DEFAULT_GRID, DEFAULT_ROWS, WeekGrid, format_grid, parse_grid

HOUR = 3600.0
rows = st.text("PCBA", min_size=24, max_size=24)
grids = st.lists(rows, min_size=7, max_size=7).map(parse_grid)
weekdays = st.integers(0, 6)
seconds = st.floats(0, DAY_S, exclude_max=True)


@pytest.mark.parametrize(
    ("hour", "profile"),
    [
        (0, Profile.AGGRESSIVE),
        (6.999, Profile.AGGRESSIVE),
        (7, Profile.BALANCED),
        (21.999, Profile.BALANCED),
        (22, Profile.AGGRESSIVE),
        (23.999, Profile.AGGRESSIVE),
    ],
)
def test_by_default_nights_are_aggressive_and_days_balanced(hour: float, profile: Profile) -> None:
    assert all(DEFAULT_GRID.at(day, hour * HOUR) is profile for day in range(7))


@settings(deadline=None)
@given(grids)
def test_a_grid_read_from_its_own_letters_is_the_same(grid: WeekGrid) -> None:
    assert parse_grid(format_grid(grid)) == grid
    assert parse_grid([row.lower() for row in format_grid(grid)]) == grid


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (DEFAULT_ROWS[:6], "a week has 7 rows, not 6"),
        ((*DEFAULT_ROWS[:2], "A" * 23, *DEFAULT_ROWS[3:]), "Wednesday has 23 letters instead of 24"),
        ((*DEFAULT_ROWS[:6], "X" * 24), "Sunday has the letter 'X'; only P, C, B and A mean something"),
    ],
)
def test_a_grid_that_cannot_be_read_is_refused_with_the_day(rows: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_grid(rows)


def test_a_week_of_another_length_is_no_grid() -> None:
    with pytest.raises(ValueError, match="168 hours, not 24"):
        WeekGrid((Profile.PAUSED,) * 24)


def test_the_next_change_is_told_over_midnight_and_the_end_of_the_week() -> None:
    assert DEFAULT_GRID.next_change_s(6, 23.5 * HOUR) == 7.5 * HOUR
    assert DEFAULT_GRID.next_change_s(0, 7 * HOUR) == 15 * HOUR


def test_a_grid_that_never_changes_has_no_next_change() -> None:
    assert parse_grid(["C" * 24] * 7).next_change_s(3, 100.0) is None


@settings(deadline=None)
@given(grids, weekdays, seconds)
def test_nothing_changes_before_the_next_change_and_something_does_at_it(
    grid: WeekGrid, weekday: int, second: float
) -> None:
    change_s = grid.next_change_s(weekday, second)
    if change_s is None:
        assert len(set(grid.hours)) == 1
        return
    now = weekday * DAY_S + second
    first = int(now // HOUR) + 1
    last = round((now + change_s) / HOUR)
    assert grid.hours[last % 168] != grid.at(weekday, second)
    for hour in range(first, last):
        assert grid.hours[hour % 168] == grid.at(weekday, second)


def test_a_leap_second_belongs_to_its_day() -> None:
    assert DEFAULT_GRID.at(6, 86_400.5) == DEFAULT_GRID.at(6, 86_399)
    assert DEFAULT_GRID.next_change_s(6, 86_400.5) is not None
