"""What must hold for every decision, whatever is sensed and whatever the person wants."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from gogrid_desktop.core.activity import Activity, Preferences, Role
from gogrid_desktop.core.policy import STEP_UP_S, Decision, Memory, decide
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.profiles import Limits, Profile
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.core.windows import DAY_S, WeekGrid, parse_grid

T0 = 100_000.0
#: A busy machine must not fail a property that holds.
unhurried = settings(deadline=None)

idle = st.none() | st.floats(0, 4000)
powers = st.builds(
    Power, mains=st.sampled_from([True, True, True, False, None]), saver=st.integers(0, 9).map(lambda n: n == 0)
)
screens = st.builds(Screen, st.sampled_from([False, False, True, None]), st.sampled_from(["", "mpv", "soffice"]))
activities = st.builds(
    Activity,
    idle_s=idle,
    idle_source=st.just("test"),
    weekday=st.integers(0, 6),
    second_of_day=st.floats(0, DAY_S, exclude_max=True),
    power=powers,
    screen=screens,
    jobs_running=st.integers(0, 3),
)
customs = st.builds(
    Limits,
    compute_share=st.sampled_from([0.0, 0.3, 1.0]),
    vram_fraction=st.sampled_from([0.0, 0.3, 1.0]),
    batch=st.integers(0, 64),
    nice=st.integers(0, 19),
    ionice_class=st.integers(0, 3),
    ionice_level=st.none() | st.integers(0, 7),
    interval_ms=st.integers(0, 1000),
)
days = st.lists(st.sampled_from("PCBA"), min_size=4, max_size=4).map(lambda four: "".join(four) * 6)
grids: st.SearchStrategy[WeekGrid] = st.lists(days, min_size=7, max_size=7).map(parse_grid)
preferences = st.builds(
    Preferences,
    role=st.sampled_from(Role),
    sharing=st.integers(0, 4).map(bool),
    snooze_until=st.none() | st.floats(T0 - 100, T0 + 2000),
    drain=st.integers(0, 4).map(lambda n: n == 0),
    card=st.sampled_from(Profile),
    at_most=st.sampled_from(Profile),
    custom=st.none() | customs,
    away_after_s=st.integers(10, 3600).map(float),
    while_present=st.sampled_from([Profile.PAUSED, Profile.CONSERVATIVE]),
    grid=grids,
    pause_on_battery=st.booleans(),
    pause_on_fullscreen=st.booleans(),
    fullscreen_ignored=st.sampled_from([(), ("MPV",)]),
)
#: Seconds until the next look, what was sensed then, and what the person may have switched in between.
looks = st.lists(st.tuples(st.floats(0.01, 900), idle, st.integers(0, 5)), max_size=12)


def through(
    seen: Activity, wanted: Preferences, steps: list[tuple[float, float | None, int]]
) -> list[tuple[float, Activity, Preferences, Memory, Decision]]:
    """Every decision on the way: when, from what, and what it was."""
    now, memory = T0, Memory()
    made = []
    for pause_s, idle_s, switch in [(0.0, seen.idle_s, 1), *steps]:
        now += pause_s
        seen = replace(seen.after(pause_s), idle_s=idle_s)
        wanted = replace(wanted, sharing=not wanted.sharing) if switch == 0 else wanted
        decision = decide(seen, wanted, memory, now)
        made.append((now, seen, wanted, memory, decision))
        memory = decision.memory
    return made


@unhurried
@given(activities, preferences, looks, st.floats(0, 4000))
def test_more_activity_never_gives_more(
    seen: Activity, wanted: Preferences, steps: list[tuple[float, float | None, int]], earlier_s: float
) -> None:
    now, seen, wanted, memory, decision = through(seen, wanted, steps)[-1]
    if seen.idle_s is None:
        return
    busier = decide(replace(seen, idle_s=max(0.0, seen.idle_s - earlier_s)), wanted, memory, now)
    assert busier.profile <= decision.profile
    assert busier.limits.meet(decision.limits) == busier.limits.meet(busier.limits)


@unhurried
@given(activities, preferences, looks, st.floats(0, 4000))
def test_unknown_idle_time_never_gives_more_than_somebody_present(
    seen: Activity, wanted: Preferences, steps: list[tuple[float, float | None, int]], idle_s: float
) -> None:
    now, seen, wanted, memory, _ = through(seen, wanted, steps)[-1]
    unknown = decide(replace(seen, idle_s=None), wanted, memory, now)
    present = decide(replace(seen, idle_s=0.0), wanted, memory, now)
    known = decide(replace(seen, idle_s=idle_s), wanted, memory, now)
    assert unknown.profile == present.profile <= known.profile


@unhurried
@given(activities, preferences, looks, powers)
def test_unknown_power_never_gives_more_than_a_battery_and_that_no_more_than_mains(
    seen: Activity, wanted: Preferences, steps: list[tuple[float, float | None, int]], known: Power
) -> None:
    now, seen, wanted, memory, _ = through(seen, wanted, steps)[-1]
    given_on = [
        decide(replace(seen, power=power), wanted, memory, now).profile
        for power in (Power(None), Power(False), known, Power(True))
    ]
    assert given_on[0] == given_on[1] and given_on == sorted(given_on)


@unhurried
@given(activities, preferences, looks, screens)
def test_a_screen_that_is_unknown_never_gives_more_than_somebody_present_and_a_full_one_the_least(
    seen: Activity, wanted: Preferences, steps: list[tuple[float, float | None, int]], known: Screen
) -> None:
    now, seen, wanted, memory, _ = through(seen, wanted, steps)[-1]
    full, unknown, some, empty = (
        decide(replace(seen, screen=screen), wanted, memory, now).profile
        for screen in (Screen(True), Screen(None), known, Screen(False))
    )
    present = decide(replace(seen, screen=Screen(False), idle_s=0.0), wanted, memory, now).profile
    assert full <= unknown <= empty and full <= some <= empty
    assert unknown <= present or wanted.role is Role.SERVER or not wanted.pause_on_fullscreen


@unhurried
@given(activities, preferences, looks)
def test_no_decision_gives_more_than_any_of_its_reasons(
    seen: Activity, wanted: Preferences, steps: list[tuple[float, float | None, int]]
) -> None:
    for _, _, _, _, decision in through(seen, wanted, steps):
        assert decision.profile == min(reason.ceiling for reason in decision.reasons)


@unhurried
@given(activities, preferences, looks)
def test_up_goes_one_step_per_30_s_unless_the_person_switched_it_on(
    seen: Activity, wanted: Preferences, steps: list[tuple[float, float | None, int]]
) -> None:
    before: Decision | None = None
    raised_at = T0
    was_off = False
    for now, _, wanted_now, _, decision in through(seen, wanted, steps):
        off = not wanted_now.sharing or (wanted_now.snooze_until or -math.inf) > now
        if before is not None and decision.profile > before.profile:
            if not was_off or off:
                assert decision.profile == before.profile + 1
                assert now - raised_at >= STEP_UP_S
            raised_at = now
        before, was_off = decision, off


@unhurried
@given(activities, preferences, looks)
def test_a_lower_ceiling_holds_at_once(
    seen: Activity, wanted: Preferences, steps: list[tuple[float, float | None, int]]
) -> None:
    for now, seen_now, wanted_now, _, decision in through(seen, wanted, steps):
        fresh = decide(seen_now, replace(wanted_now, role=Role.SERVER), Memory(), now)
        assert decision.profile <= fresh.profile or wanted_now.role is Role.DESKTOP
        at_present = wanted_now.role is Role.DESKTOP and (
            seen_now.idle_s is None or seen_now.idle_s < wanted_now.away_after_s
        )
        if at_present:
            assert decision.profile <= wanted_now.while_present
        if wanted_now.role is Role.DESKTOP:
            assert decision.profile <= wanted_now.grid.at(seen_now.weekday, seen_now.second_of_day)
        if not wanted_now.sharing or (wanted_now.pause_on_battery and not seen_now.power.mains):
            assert decision.profile is Profile.PAUSED


@unhurried
@given(activities, preferences, looks)
def test_every_decision_says_why_and_what_comes_next(
    seen: Activity, wanted: Preferences, steps: list[tuple[float, float | None, int]]
) -> None:
    for _, _, _, _, decision in through(seen, wanted, steps):
        assert decision.headline
        assert decision.what_next
        assert decision.reason == decision.reasons[0].sentence
        assert all(reason.sentence and reason.sentence == reason.sentence.strip() for reason in decision.reasons)


@unhurried
@given(activities, preferences, looks, st.floats(0, 1))
def test_before_the_next_check_time_alone_changes_nothing(
    seen: Activity, wanted: Preferences, steps: list[tuple[float, float | None, int]], part: float
) -> None:
    now, seen, wanted, _, decision = through(seen, wanted, steps)[-1]
    assert decision.next_check > now
    # An hour will do where nothing is due, and the last millisecond belongs to rounding.
    later_s = part * min(max(0.0, decision.next_check - now - 0.001), 3600.0)
    again = decide(seen.after(later_s), wanted, decision.memory, now + later_s)
    assert again.profile == decision.profile
    assert again.limits == decision.limits
    assert [(reason.rule, reason.ceiling) for reason in again.reasons] == [
        (reason.rule, reason.ceiling) for reason in decision.reasons
    ]


@unhurried
@given(activities, preferences)
def test_where_nothing_happens_the_profile_changes_at_most_six_times_an_hour(
    seen: Activity, wanted: Preferences
) -> None:
    now, memory, changes = T0, Memory(), 0
    before: Profile | None = None
    while now < T0 + 3600:
        decision = decide(seen, wanted, memory, now)
        changes += before is not None and decision.profile != before
        before, memory = decision.profile, decision.memory
        pause_s = min(max(decision.next_check - now, 0.001), 3600.0)
        now, seen = now + pause_s, seen.after(pause_s)
    assert changes <= 6


@unhurried
@given(activities, preferences, looks)
def test_a_decision_repeated_at_the_same_moment_is_the_same(
    seen: Activity, wanted: Preferences, steps: list[tuple[float, float | None, int]]
) -> None:
    now, seen, wanted, _, decision = through(seen, wanted, steps)[-1]
    again = decide(seen, wanted, decision.memory, now)
    assert again == decision
