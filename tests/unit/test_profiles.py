"""The lattice of limits: whatever rules are met in whatever order, only less can come of it."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gogrid_desktop.core.profiles import NOTHING, PROFILE_LIMITS, Limits, Profile

limits = st.builds(
    Limits,
    compute_share=st.floats(0, 1),
    vram_fraction=st.floats(0, 1),
    batch=st.integers(0, 64),
    nice=st.integers(0, 19),
    ionice_class=st.integers(0, 3),
    ionice_level=st.none() | st.integers(0, 7),
    interval_ms=st.integers(0, 3_600_000),
)


@settings(deadline=None)
@given(limits, limits, limits)
def test_meeting_limits_does_not_depend_on_order_or_grouping(a: Limits, b: Limits, c: Limits) -> None:
    assert a.meet(b) == b.meet(a)
    assert a.meet(b).meet(c) == a.meet(b.meet(c))


def test_no_level_is_the_level_that_the_kernel_takes_for_it() -> None:
    none, weaker = Limits(1, 1, 1, 0, 2, None, 0), Limits(1, 1, 1, 0, 2, 6, 0)
    assert none.meet(weaker) == weaker.meet(none) == weaker
    assert none.meet(none).ionice_level == 4


@settings(deadline=None)
@given(limits)
def test_meeting_limits_with_themselves_changes_nothing_more(a: Limits) -> None:
    assert a.meet(a).meet(a) == a.meet(a)


@settings(deadline=None)
@given(st.lists(limits, min_size=1, max_size=5))
def test_what_is_met_gives_no_more_than_any_of_its_parts(parts: list[Limits]) -> None:
    met = reduce(Limits.meet, parts)
    for part in parts:
        assert met.compute_share <= part.compute_share
        assert met.vram_fraction <= part.vram_fraction
        assert met.batch <= part.batch
        assert met.nice >= part.nice
        assert met.interval_ms >= part.interval_ms


def test_the_named_profiles_are_ordered_points_of_the_lattice() -> None:
    for lower, higher in pairwise(Profile):
        assert PROFILE_LIMITS[lower].meet(PROFILE_LIMITS[higher]) == PROFILE_LIMITS[lower]


def test_paused_gives_nothing() -> None:
    assert PROFILE_LIMITS[Profile.PAUSED] == NOTHING
    assert (NOTHING.compute_share, NOTHING.vram_fraction, NOTHING.batch) == (0, 0, 0)


def test_the_figures_of_the_profiles_are_those_of_the_feature_table() -> None:
    gentle, balanced, full = (PROFILE_LIMITS[p] for p in (Profile.CONSERVATIVE, Profile.BALANCED, Profile.AGGRESSIVE))
    assert [p.vram_fraction for p in (gentle, balanced, full)] == [0.50, 0.70, 0.95]
    assert [p.compute_share for p in (gentle, balanced, full)] == [0.60, 0.80, 0.95]
    assert [p.nice for p in (gentle, balanced, full)] == [15, 10, 0]
    assert [p.interval_ms for p in (gentle, balanced, full)] == [100, 50, 0]
    assert [p.batch for p in (gentle, balanced, full)] == [2, 4, 16]
    assert [(p.ionice_class, p.ionice_level) for p in (gentle, balanced)] == [(3, None)] * 2


def test_the_idle_disk_class_is_weaker_than_any_level_of_another() -> None:
    idle = Limits(1, 1, 1, 0, 3, None, 0)
    for other_class, level in ((1, 7), (2, 7), (0, None)):
        other = Limits(1, 1, 1, 0, other_class, level, 0)
        assert idle.meet(other) == idle
