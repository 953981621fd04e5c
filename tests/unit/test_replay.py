"""Replay: the same as the policy asked every second, sooner; and what the scores count."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from fixtures_policy import activities, preferences, unhurried
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.core.activity import Activity, Preferences, Role
from gogrid_desktop.core.attention import Attention
from gogrid_desktop.core.gpu_use import GpuUse
from gogrid_desktop.core.policy import Memory, decide
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Profile
from gogrid_desktop.core.recording import Frame, Header, Recording
from gogrid_desktop.core.replay import ASLEEP, Band, as_recorded, bands, steps
from gogrid_desktop.core.scores import Scores, bearable, judge
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.core.session import Session

HEADER = Header(datetime(2026, 3, 4, tzinfo=UTC))
MIDNIGHT = Activity(7200.0, "test", 2, 0.0, Power(True), Screen(False), session=Session(active=True))
AT_NIGHT = {profile: PROFILE_LIMITS[profile].compute_share for profile in Profile}


def recording(*frames: Frame) -> Recording:
    return Recording(HEADER, frames)


def scored(*frames: Frame, wanted: Preferences | None = None) -> Scores:
    return judge(recording(*frames), wanted or Preferences())[1]


def test_a_constant_night_is_what_stepping_by_hand_gives() -> None:
    night = bands(steps([Frame(0.0, MIDNIGHT), Frame(3600.0, MIDNIGHT.after(3600))], Preferences()))
    assert list(night) == [
        Band(0.0, 30.0, Profile.CONSERVATIVE, 0.60, "climb"),
        Band(30.0, 60.0, Profile.BALANCED, 0.80, "climb"),
        Band(60.0, 3600.0, Profile.AGGRESSIVE, 0.95, "presence"),
    ]


whole = st.none() | st.integers(0, 600).map(float)
moments = st.builds(
    lambda seen, idle_s, second: replace(seen, idle_s=idle_s, second_of_day=float(second)),
    activities,
    whole,
    st.integers(0, 86399),
)
ends = st.none() | st.integers(1, 1500).map(float)
wishes = st.builds(
    lambda wanted, snooze, anyway: replace(wanted, snooze_until=snooze, anyway_until=anyway), preferences, ends, ends
)


@unhurried
@given(st.lists(st.tuples(st.integers(1, 400), moments), min_size=2, max_size=8), wishes)
def test_it_gives_what_the_policy_gives_when_it_is_asked_every_second(
    looks: list[tuple[int, Activity]], wanted: Preferences
) -> None:
    frames, t = [], 0
    for seconds, activity in looks:
        frames.append(Frame(float(t), activity))
        t += seconds
    by_hand: list[tuple[Profile, float]] = []
    memory = Memory()
    for frame, following in pairwise(frames):
        for second in range(int(frame.t), int(following.t)):
            decision = decide(frame.activity.after(second - frame.t), wanted, memory, float(second))
            memory = decision.memory
            by_hand.append((decision.profile, decision.limits.compute_share))
    given_then = [
        (band.profile, band.compute_share)
        for band in bands(steps(frames, wanted))
        for second in range(len(by_hand))
        if band.t0 <= second + 0.5 < band.t1
    ]
    assert given_then == by_hand


@unhurried
@given(st.lists(st.tuples(st.integers(1, 400), moments), min_size=2, max_size=8), wishes)
def test_bands_cover_the_whole_time_and_no_two_beside_each_other_are_the_same(
    looks: list[tuple[int, Activity]], wanted: Preferences
) -> None:
    frames, t = [], 0
    for seconds, activity in looks:
        frames.append(Frame(float(t), activity, float(seconds % 3 == 0 and t > 0)))
        t += seconds
    made = list(bands(steps(frames, wanted)))
    assert made[0].t0 == 0 and made[-1].t1 == frames[-1].t
    for earlier, later in pairwise(made):
        assert earlier.t1 == later.t0 > earlier.t0
        assert replace(earlier, t0=0, t1=0) != replace(later, t0=0, t1=0)


def test_the_binding_rule_is_the_first_of_the_reasons() -> None:
    frames = [
        Frame(0.0, MIDNIGHT),
        Frame(100.0, replace(MIDNIGHT, idle_s=0.0)),
        Frame(200.0, replace(MIDNIGHT, idle_s=50.0, power=Power(False))),
        Frame(300.0, MIDNIGHT),
    ]
    made = list(bands(steps(frames, Preferences())))
    assert [band.rule for band in made] == ["climb", "climb", "presence", "presence", "power"]
    for step in steps(frames, Preferences()):
        assert step.decision is not None
        now = next(band for band in made if band.t0 <= step.t0 < band.t1)
        assert now.rule == step.decision.reasons[0].rule


def test_while_the_computer_sleeps_nothing_is_given_and_no_hold_runs_out() -> None:
    goes = replace(MIDNIGHT, session=Session(active=True, leaving="suspend"))
    frames = [
        Frame(0.0, MIDNIGHT),
        Frame(600.0, goes),
        Frame(4205.0, replace(MIDNIGHT, idle_s=4205.0), 3600.0),
        Frame(4300.0, MIDNIGHT),
    ]
    made = list(bands(steps(frames, Preferences())))
    asleep = next(band for band in made if band.rule == ASLEEP)
    assert (asleep.t0, asleep.t1, asleep.profile) == (605.0, 4205.0, Profile.PAUSED)
    after = [band for band in made if band.t0 >= 4205.0]
    assert (after[0].rule, after[0].t1) == ("system", 4215.0)
    scores = judge(recording(*frames), Preferences())[1]
    assert scores.asleep == 1.0
    assert scores.hours == pytest.approx(sum(scores.in_profile) + 1.0)
    assert ASLEEP not in dict(scores.held_by)


def test_gpu_hours_are_the_share_of_time_that_was_given() -> None:
    scores = scored(Frame(0.0, MIDNIGHT), Frame(3600.0, MIDNIGHT.after(3600)))
    seconds = 30 * AT_NIGHT[Profile.CONSERVATIVE] + 30 * AT_NIGHT[Profile.BALANCED] + 3540 * 0.95
    assert scores.gpu_hours == pytest.approx(seconds / 3600)
    assert scores.in_profile == pytest.approx((0, 30 / 3600, 30 / 3600, 3540 / 3600))
    assert dict(scores.held_by) == {"climb": pytest.approx(60 / 3600)}
    metered = replace(MIDNIGHT, metered=True)
    assert scored(Frame(0.0, metered), Frame(3600.0, metered)).gpu_hours == 0


GPU = GpuUse(0, 8 * 2**30, 6 * 2**30, 0.0, 0.0)


@pytest.mark.parametrize(
    ("seen", "most", "server"),
    [
        (MIDNIGHT, Profile.AGGRESSIVE, Profile.AGGRESSIVE),
        (replace(MIDNIGHT, idle_s=None), Profile.AGGRESSIVE, Profile.AGGRESSIVE),
        (replace(MIDNIGHT, idle_s=9.9), Profile.CONSERVATIVE, Profile.AGGRESSIVE),
        (replace(MIDNIGHT, idle_s=10.0), Profile.AGGRESSIVE, Profile.AGGRESSIVE),
        (replace(MIDNIGHT, screen=Screen(True, "mpv")), Profile.PAUSED, Profile.AGGRESSIVE),
        (replace(MIDNIGHT, attention=Attention(inhibitor="mpv")), Profile.PAUSED, Profile.AGGRESSIVE),
        (replace(MIDNIGHT, attention=Attention(call="camera")), Profile.PAUSED, Profile.AGGRESSIVE),
        (replace(MIDNIGHT, attention=Attention(game_mode=True)), Profile.PAUSED, Profile.PAUSED),
        (replace(MIDNIGHT, gpus=(GPU, replace(GPU, foreign_high=0.4))), Profile.CONSERVATIVE, Profile.CONSERVATIVE),
        (replace(MIDNIGHT, gpus=(replace(GPU, foreign_low=0.4, foreign_high=0.5),)), Profile.PAUSED, Profile.PAUSED),
        (replace(MIDNIGHT, gpus=(replace(GPU, foreign_low=None),)), Profile.AGGRESSIVE, Profile.AGGRESSIVE),
    ],
)
def test_what_is_bearable(seen: Activity, most: Profile, server: Profile) -> None:
    assert bearable(seen, Role.DESKTOP) is most
    assert bearable(seen, Role.SERVER) is server


def test_by_default_nobody_is_intruded_on_and_without_the_rule_they_are() -> None:
    film = replace(MIDNIGHT, attention=Attention(inhibitor="mpv"))
    frames = (Frame(0.0, MIDNIGHT), Frame(600.0, film), Frame(900.0, MIDNIGHT), Frame(1000.0, MIDNIGHT))
    assert (scored(*frames).intrusion_s, scored(*frames).worst_wait_s) == (0.0, 0.0)
    allowed = scored(*frames, wanted=Preferences(pause_on_fullscreen=False))
    assert (allowed.intrusion_s, allowed.worst_wait_s) == (300.0, 300.0)


def test_presence_is_an_intrusion_for_as_long_as_it_is_fresh() -> None:
    wanted = Preferences(while_present=Profile.BALANCED)
    touched = replace(MIDNIGHT, idle_s=4.0)
    frames = (Frame(0.0, MIDNIGHT), Frame(600.0, touched), Frame(700.0, MIDNIGHT), Frame(720.0, MIDNIGHT))
    scores = scored(*frames, wanted=wanted)
    assert (scores.intrusion_s, scores.worst_wait_s) == (6.0, 6.0)


def test_a_rise_that_is_undone_within_two_minutes_is_a_flap() -> None:
    typing = replace(MIDNIGHT, idle_s=0.0)
    frames = [Frame(0.0, MIDNIGHT), Frame(170.0, typing), Frame(600.0, typing), Frame(1000.0, MIDNIGHT)]
    scores = scored(*frames)
    # Up at 30 s and 60 s, down at 170 s: the second rise lasted 110 s, the first 140 s.
    # Three minutes of peace raise it twice at 350 s and at 780 s; what was undone at 600 s had lasted.
    assert (scores.raised, scores.lowered) == (6, 2)
    assert scores.flaps == 1
    assert scores.busiest_hour == 8


def test_what_was_recorded_to_pause_for_pauses_under_its_number() -> None:
    runs = replace(MIDNIGHT, programs=frozenset({"program 1"}))
    seen = recording(Frame(0.0, runs), Frame(60.0, runs))
    assert as_recorded(Preferences(), seen).pause_for == {"program 1"}
    assert judge(seen, Preferences())[0] == (Band(0.0, 60.0, Profile.PAUSED, 0.0, "application"),)
    named = replace(seen, header=replace(HEADER, names=True, role=Role.SERVER))
    assert as_recorded(Preferences(), named) == Preferences(role=Role.SERVER)
