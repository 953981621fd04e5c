"""What must hold for every decision, whatever is sensed and whatever the person wants."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from fixtures_policy import GIB, T0, activities, looks, powers, preferences, screens, unhurried
from hypothesis import given, settings
from hypothesis import strategies as st

from gogrid_desktop.core.activity import Activity, Preferences, Role, is_away
from gogrid_desktop.core.gpu_use import GpuUse
from gogrid_desktop.core.policy import STEP_UP_S, Decision, Memory, decide
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.core.session import Session
from gogrid_desktop.core.windows import DAY_S


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


def _gpus(seen: Activity, use: float, warm: float) -> tuple[GpuUse, ...]:
    """The same GPUs, used at least so much by others, and at least so warm, where they tell."""

    def more(known: float | None, least: float) -> float | None:
        return None if known is None else max(known, least)

    return tuple(
        replace(
            gpu,
            foreign_low=more(gpu.foreign_low, use),
            foreign_high=more(gpu.foreign_high, use),
            temperature_c=more(gpu.temperature_c, warm),
        )
        for gpu in seen.gpus
    )


def _known(value: float | None, least: float) -> float | None:
    return None if value is None else max(value, least)


#: Each makes the same moment busier, given a number 0..1; what is unknown stays unknown.
BUSIER: dict[str, Callable[[Activity, float], Activity]] = {
    "typing": lambda a, n: replace(a, idle_s=None if a.idle_s is None else a.idle_s * n),
    "not locked": lambda a, n: replace(a, session=replace(a.session, locked=False)),
    "somebody logged in": lambda a, n: replace(a, session=replace(a.session, nobody=False)),
    "another user": lambda a, n: replace(a, session=replace(a.session, active=False, nobody=False)),
    "from afar": lambda a, n: replace(a, session=replace(a.session, remote=True)),
    "going to sleep": lambda a, n: replace(a, session=replace(a.session, leaving="suspend")),
    "a film": lambda a, n: replace(a, attention=replace(a.attention, inhibitor="vlc")),
    "a game": lambda a, n: replace(a, attention=replace(a.attention, game_mode=True)),
    "a call": lambda a, n: replace(a, attention=replace(a.attention, call="microphone")),
    "a full screen": lambda a, n: replace(a, screen=Screen(True, "vlc")),
    "battery": lambda a, n: replace(a, power=Power(False)),
    "the GPU": lambda a, n: replace(a, gpus=_gpus(a, n, 0.0)),
    "heat": lambda a, n: replace(a, gpus=_gpus(a, 0.0, 30 + 70 * n)),
    "the processor": lambda a, n: replace(a, others_cpu=_known(a.others_cpu, n)),
    "a metered network": lambda a, n: replace(a, metered=True),
    "a program": lambda a, n: replace(a, programs=frozenset({"zoom"})),
    "another agent": lambda a, n: replace(a, other_agent="eve"),
}


@unhurried
@given(
    activities, preferences, looks, st.lists(st.sampled_from(sorted(BUSIER)), min_size=1, max_size=3), st.floats(0, 1)
)
def test_more_activity_never_gives_more(
    seen: Activity, wanted: Preferences, steps: list[tuple[float, float | None, int]], ways: list[str], much: float
) -> None:
    now, seen, wanted, memory, decision = through(seen, wanted, steps)[-1]
    more = seen
    for way in ways:
        more = BUSIER[way](more, much)
    busier = decide(more, wanted, memory, now)
    assert busier.profile <= decision.profile
    assert busier.limits.meet(decision.limits) == busier.limits.meet(busier.limits)
    assert busier.accept_leases <= decision.accept_leases


@unhurried
@given(activities, preferences, looks, st.floats(0, 4000))
def test_unknown_idle_time_never_gives_more_than_somebody_present(
    seen: Activity, wanted: Preferences, steps: list[tuple[float, float | None, int]], idle_s: float
) -> None:
    now, seen, wanted, memory, _ = through(seen, wanted, steps)[-1]
    seen = replace(seen, session=replace(seen.session, nobody=None))  # where nobody is logged in, that is known
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
    told = bool(seen.gpus) and all(gpu.foreign_low is not None for gpu in seen.gpus)  # then a film shows there
    assert unknown <= present or told or wanted.role is Role.SERVER or not wanted.pause_on_fullscreen


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
        anyway = (wanted_now.anyway_until or -math.inf) > now
        if not anyway and not is_away(seen_now, wanted_now):
            assert decision.profile <= wanted_now.while_present
        if not anyway and wanted_now.role is Role.DESKTOP:
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


class Surroundings:
    """A computer whose people do nothing: what else runs on its GPU, and what we ourselves do to it.

    `demand`: what another program would use of the GPU's time if it were alone, of which our own use leaves it less by
    `contention`. `ambient_c` and `rise_c`: how warm the GPU is without work, and how much warmer with all of it, which
    it comes to within minutes. `own_cpu_leaks`: a part of our own work is taken for others' by mistake.
    """

    def __init__(self, demand: float, contention: float, ambient_c: float, rise_c: float, leak: float) -> None:
        self._demand, self._contention, self._leak = demand, contention, leak
        self._ambient_c, self._rise_c, self._warm_c = ambient_c, rise_c, ambient_c
        self._last = demand

    def after(self, seconds: float, own: float) -> tuple[GpuUse, float]:
        foreign = self._demand * (1.0 - self._contention * own)
        aim_c = self._ambient_c + self._rise_c * min(1.0, own + foreign)
        self._warm_c += (aim_c - self._warm_c) * (1.0 - math.exp(-seconds / 60.0))
        low, high = sorted((self._last, foreign))
        self._last = foreign
        return GpuUse(0, 8 * GIB, 6 * GIB, low, high, None, round(self._warm_c), 93.0), self._leak * own


surroundings = st.builds(
    Surroundings,
    demand=st.floats(0, 1),
    contention=st.floats(0, 1),
    ambient_c=st.floats(20, 60),
    rise_c=st.floats(0, 60),
    leak=st.floats(0, 0.3),
)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(Role), st.sampled_from([50.0, 65.0, 80.0]), st.sampled_from([0.0, 7200.0]), surroundings)
def test_what_we_do_ourselves_never_makes_it_swing(
    role: Role, limit_c: float, idle_s: float, around: Surroundings
) -> None:
    now, memory, changes, shares, own = T0, Memory(), 0, set[float](), 0.0
    before: Profile | None = None
    wanted = Preferences(role=role, gpu_limit_c=limit_c)
    seen = Activity(idle_s, "test", 2, DAY_S / 24 * 12, Power(True), Screen(False), session=Session(active=True))
    for second in range(0, 3600, 2):
        use, others_cpu = around.after(2.0, own)
        now, seen = now + 2.0, replace(seen.after(2.0), gpus=(use,), others_cpu=others_cpu)
        decision = decide(seen, wanted, memory, now)
        changes += before is not None and decision.profile != before
        before, memory = decision.profile, decision.memory
        own = decision.limits.compute_share
        if second >= 2400:
            shares.add(own)
    assert changes <= 6
    assert max(shares) - min(shares) <= 0.2


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
