"""Strategies of hypothesis for what a decision is made from: any moment, and any wishes."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from gogrid_desktop.core.activity import Activity, Ceiling, Preferences, Role
from gogrid_desktop.core.attention import Attention
from gogrid_desktop.core.gpu_use import GpuUse
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.profiles import Limits, Profile
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.core.session import Session
from gogrid_desktop.core.windows import DAY_S, WeekGrid, parse_grid

T0 = 100_000.0
#: A busy machine must not fail a property that holds.
unhurried = settings(deadline=None)

GIB = 2**30
idle = st.none() | st.floats(0, 4000)
powers = st.builds(
    Power, mains=st.sampled_from([True, True, True, False, None]), saver=st.integers(0, 9).map(lambda n: n == 0)
)
screens = st.builds(Screen, st.sampled_from([False, False, True, None]), st.sampled_from(["", "mpv", "soffice"]))
sessions = st.builds(
    Session,
    active=st.sampled_from([True, True, None, False]),
    locked=st.sampled_from([None, False, True]),
    nobody=st.sampled_from([None, False, False, True]),
    remote=st.sampled_from([None, False, True]),
    leaving=st.sampled_from(["", "", "", "suspend", "shutdown"]),
)
attentions = st.builds(
    Attention,
    inhibitor=st.sampled_from([None, "", "", "mpv"]),
    game_mode=st.sampled_from([None, False, False, True]),
    call=st.sampled_from([None, "", "", "camera"]),
)
uses = st.floats(0, 1).flatmap(lambda low: st.tuples(st.just(low), st.floats(low, 1))) | st.just((None, None))
gpu_uses = st.builds(
    lambda use, warm, screen: GpuUse(0, 8 * GIB, 6 * GIB, *use, None, warm, 93.0, screen, "blender"),
    uses,
    st.none() | st.floats(30, 100),
    st.booleans(),
)
activities = st.builds(
    Activity,
    idle_s=idle,
    idle_source=st.just("test"),
    weekday=st.integers(0, 6),
    second_of_day=st.floats(0, DAY_S, exclude_max=True),
    power=powers,
    screen=screens,
    jobs_running=st.integers(0, 3),
    session=sessions,
    attention=attentions,
    gpus=st.lists(gpu_uses, max_size=2).map(tuple),
    gpu_problem=st.sampled_from(["", "", "", "it does not answer"]),
    others_cpu=st.none() | st.floats(0, 1),
    metered=st.sampled_from([None, False, True]),
    programs=st.sampled_from([frozenset(), frozenset({"zoom"})]),
    other_agent=st.sampled_from(["", "", "", "eve"]),
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
    fullscreen_ignored=st.sampled_from([frozenset(), frozenset({"mpv"})]),
    until_away=st.integers(0, 4).map(lambda n: n == 0),
    anyway_until=st.none() | st.floats(T0 - 100, T0 + 2000),
    pause_in_calls=st.booleans(),
    pause_for_games=st.booleans(),
    mind_metered=st.booleans(),
    pause_for=st.sampled_from([frozenset(), frozenset({"zoom"})]),
    gpu_limit_c=st.sampled_from([60.0, 80.0]),
    administrator=st.sampled_from([Ceiling(), Ceiling(), Ceiling(Profile.BALANCED, "at most balanced")]),
)
#: Seconds until the next look, what was sensed then, and what the person may have switched in between.
looks = st.lists(st.tuples(st.floats(0.01, 900), idle, st.integers(0, 5)), max_size=12)
