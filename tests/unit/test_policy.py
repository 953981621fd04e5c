"""Decisions by example: what is given, and the sentences that say why and what comes next."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest

from gogrid_desktop.core.activity import Activity, Ceiling, Preferences, Role
from gogrid_desktop.core.attention import Attention
from gogrid_desktop.core.gpu_use import GpuUse
from gogrid_desktop.core.policy import Decision, Memory, decide
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.profiles import NOTHING, PROFILE_LIMITS, Limits, Profile
from gogrid_desktop.core.rules.table import RULES
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.core.session import Session
from gogrid_desktop.core.windows import parse_grid

NOON = 12 * 3600.0
NIGHT = 23 * 3600.0
DESKTOP = Preferences()
SERVER = Preferences(role=Role.SERVER)


def activity(idle_s: float | None = 1000.0, at: float = NIGHT, jobs: int = 0) -> Activity:
    return Activity(idle_s, "test", 2, at, Power(True), Screen(False), jobs, session=Session(active=True))


class Machine:
    """One machine through time: `now` moves, memory is carried along."""

    def __init__(self, preferences: Preferences, seen: Activity) -> None:
        self.preferences = preferences
        self.seen = seen
        self.now = 5000.0
        self.memory = Memory()
        self.decision = self.decide()

    def decide(self) -> Decision:
        self.decision = decide(self.seen, self.preferences, self.memory, self.now)
        self.memory = self.decision.memory
        return self.decision

    def wait(self, seconds: float) -> Profile:
        self.now += seconds
        self.seen = self.seen.after(seconds)
        return self.decide().profile

    def see(self, **changes: object) -> Profile:
        self.seen = replace(self.seen, **changes)  # type: ignore[arg-type]
        return self.decide().profile

    def want(self, **changes: object) -> Profile:
        self.preferences = replace(self.preferences, **changes)  # type: ignore[arg-type]
        return self.decide().profile

    def settle(self) -> Profile:
        """Until time alone changes nothing for an hour."""
        for _ in range(120):
            self.wait(30.0)
        return self.decision.profile


def test_a_desktop_starts_gently_and_goes_up_one_step_every_30_s() -> None:
    machine = Machine(DESKTOP, activity())
    assert machine.decision.profile is Profile.CONSERVATIVE
    assert machine.wait(29.9) is Profile.CONSERVATIVE
    assert machine.wait(0.1) is Profile.BALANCED
    assert machine.wait(29.9) is Profile.BALANCED
    assert machine.wait(0.1) is Profile.AGGRESSIVE


def test_a_server_starts_with_all_that_is_allowed_whoever_sits_before_it() -> None:
    assert Machine(SERVER, activity(idle_s=0.0, at=NOON)).decision.profile is Profile.AGGRESSIVE
    assert Machine(SERVER, activity(idle_s=None)).decision.limits == PROFILE_LIMITS[Profile.AGGRESSIVE]


def test_touching_the_computer_brings_it_down_at_once() -> None:
    machine = Machine(DESKTOP, activity())
    assert machine.settle() is Profile.AGGRESSIVE
    assert machine.see(idle_s=0.0) is Profile.CONSERVATIVE
    assert machine.decision.reason == "you used the computer just now"


def test_who_wants_it_paused_while_present_gets_that() -> None:
    machine = Machine(replace(DESKTOP, while_present=Profile.PAUSED), activity(idle_s=5.0))
    assert machine.decision.profile is Profile.PAUSED
    assert machine.decision.limits == NOTHING
    assert not machine.decision.accept_leases


def test_away_by_day_is_balanced_and_by_night_aggressive() -> None:
    assert Machine(DESKTOP, activity(at=NOON)).settle() is Profile.BALANCED
    assert Machine(DESKTOP, activity(at=NIGHT)).settle() is Profile.AGGRESSIVE


def test_unknown_idle_time_counts_as_present_and_says_so() -> None:
    machine = Machine(DESKTOP, activity(idle_s=None))
    assert machine.settle() is Profile.CONSERVATIVE
    assert machine.decision.reason == "nothing here can tell whether you are at the computer"
    assert machine.decision.what_next == "More only where idle time can be seen: gogrid doctor says what is missing"


def test_away_time_is_counted_from_the_last_input() -> None:
    machine = Machine(DESKTOP, activity(idle_s=0.0))
    assert machine.wait(179.0) is Profile.CONSERVATIVE
    assert machine.wait(1.0) is Profile.BALANCED
    assert machine.wait(30.0) is Profile.AGGRESSIVE


def test_coming_back_soon_after_it_lifted_doubles_the_hold() -> None:
    machine = Machine(DESKTOP, activity(idle_s=0.0))
    machine.wait(180.0)
    machine.wait(300.0)
    machine.see(idle_s=0.0)
    assert machine.wait(359.0) is Profile.CONSERVATIVE
    assert machine.wait(1.0) is Profile.BALANCED


def test_coming_back_late_does_not_double_the_hold() -> None:
    machine = Machine(DESKTOP, activity(idle_s=0.0))
    machine.wait(180.0)
    machine.wait(301.0)
    machine.see(idle_s=0.0)
    assert machine.wait(180.0) is Profile.BALANCED


def test_no_hold_grows_past_half_an_hour() -> None:
    machine = Machine(DESKTOP, activity(idle_s=0.0))
    machine.wait(180.0)
    for _ in range(10):
        machine.see(idle_s=0.0)
        machine.wait(1800.0)
    machine.see(idle_s=0.0)
    assert machine.wait(1799.0) is Profile.CONSERVATIVE
    assert machine.wait(1.0) is Profile.BALANCED


def test_switched_off_is_paused_until_switched_on() -> None:
    machine = Machine(DESKTOP, activity())
    machine.settle()
    assert machine.want(sharing=False) is Profile.PAUSED
    assert machine.decision.headline == "Paused"
    assert machine.decision.reason == "you switched sharing off"
    assert machine.decision.what_next == "Sharing again when you switch it on"
    assert machine.decision.next_check == math.inf or machine.settle() is Profile.PAUSED


def test_switched_on_again_everything_is_back_at_once() -> None:
    machine = Machine(DESKTOP, activity())
    machine.settle()
    machine.want(sharing=False)
    machine.wait(3.0)
    assert machine.want(sharing=True) is Profile.AGGRESSIVE


def test_switched_on_again_while_present_goes_only_as_far_as_that_allows() -> None:
    machine = Machine(DESKTOP, activity())
    machine.settle()
    machine.want(sharing=False)
    machine.see(idle_s=1.0)
    assert machine.want(sharing=True) is Profile.CONSERVATIVE


def test_a_snooze_ends_by_itself_and_then_goes_up_in_steps() -> None:
    machine = Machine(DESKTOP, activity())
    machine.settle()
    assert machine.want(snooze_until=machine.now + 600) is Profile.PAUSED
    assert machine.decision.reason == "you paused it, 10 min left"
    assert machine.decision.what_next == "Sharing again in 10 min"
    assert machine.decision.next_check <= machine.now + 600
    assert machine.wait(599.0) is Profile.PAUSED
    assert machine.wait(1.0) is Profile.CONSERVATIVE
    assert machine.wait(30.0) is Profile.BALANCED


def test_a_snooze_that_the_person_ends_early_lifts_at_once() -> None:
    machine = Machine(DESKTOP, activity())
    machine.settle()
    machine.want(snooze_until=machine.now + 600)
    machine.wait(60.0)
    assert machine.want(snooze_until=None) is Profile.AGGRESSIVE


def test_finishing_takes_no_new_work_and_pauses_with_the_last_job() -> None:
    machine = Machine(SERVER, activity(jobs=2))
    assert machine.want(drain=True) is Profile.AGGRESSIVE
    assert not machine.decision.accept_leases
    assert (machine.decision.headline, machine.decision.reason) == ("Finishing", "finishing 2 jobs, then pausing")
    assert machine.decision.what_next == "Paused when this work has ended"
    machine.see(jobs_running=1)
    assert machine.decision.reason == "finishing 1 job, then pausing"
    assert machine.see(jobs_running=0) is Profile.PAUSED
    assert machine.decision.reason == "all work is finished, as you asked"


def test_no_longer_finishing_is_a_switch_back_on_and_lifts_at_once() -> None:
    machine = Machine(DESKTOP, activity())
    machine.settle()
    assert machine.want(drain=True) is Profile.PAUSED
    machine.wait(3.0)
    assert machine.want(drain=False) is Profile.AGGRESSIVE


def test_where_nothing_holds_it_down_the_absence_is_the_reason() -> None:
    machine = Machine(DESKTOP, activity())
    machine.settle()
    machine.see(idle_s=7200.0)
    assert (machine.decision.headline, machine.decision.reason) == ("Sharing fully", "you have been away for 2 h")
    assert Machine(SERVER, activity()).decision.reason == "your setting is aggressive"


@pytest.mark.parametrize("ceiling", [Profile.CONSERVATIVE, Profile.BALANCED])
def test_the_card_and_the_menu_are_ceilings(ceiling: Profile) -> None:
    assert Machine(replace(SERVER, card=ceiling), activity()).decision.profile is ceiling
    assert Machine(replace(SERVER, at_most=ceiling), activity()).decision.profile is ceiling
    assert f"your setting is {ceiling.word}" in {
        reason.sentence for reason in Machine(replace(SERVER, at_most=ceiling), activity()).decision.reasons
    }


def test_custom_limits_hold_field_by_field_below_the_profile() -> None:
    own = Limits(0.9, 0.2, 3, 5, 2, 6, 20)
    full = Machine(replace(SERVER, custom=own), activity()).decision
    assert full.limits == own.meet(PROFILE_LIMITS[Profile.AGGRESSIVE])
    gentle = Machine(replace(DESKTOP, custom=own), activity(idle_s=1.0)).decision
    assert gentle.limits == Limits(0.60, 0.20, 2, 15, 3, None, 100)


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        (Limits(0.0, 0.5, 1, 0, 3, None, 0), "your custom limits give 0 % of compute"),
        (Limits(0.5, 0.0, 1, 0, 3, None, 0), "your custom limits give 0 % of memory"),
    ],
)
def test_custom_limits_of_nothing_are_a_pause_with_a_reason(own: Limits, sentence: str) -> None:
    decision = Machine(replace(SERVER, custom=own), activity()).decision
    assert decision.profile is Profile.PAUSED
    assert decision.reason == sentence
    assert decision.what_next == "More only with a higher setting"


def test_the_reasons_come_in_order_of_severity_and_name_every_rule() -> None:
    decision = Machine(DESKTOP, activity(idle_s=12.4, at=NOON)).decision
    reasons = [(reason.rule, reason.ceiling, reason.sentence) for reason in decision.reasons]
    assert reasons[:3] == [
        ("presence", Profile.CONSERVATIVE, "you used the computer 12 s ago"),
        ("schedule", Profile.BALANCED, "your schedule says balanced until 22:00"),
        ("setting", Profile.AGGRESSIVE, "your setting is aggressive"),
    ]
    assert {rule for rule, _, _ in reasons} == {rule.name for rule in RULES}
    assert ("power", Profile.AGGRESSIVE, "the computer has mains power") in reasons


@pytest.mark.parametrize(
    ("preferences", "seen", "sentence"),
    [
        (DESKTOP, activity(idle_s=60.0, at=NOON), "Balanced in 2 min if you stay away"),
        (DESKTOP, activity(idle_s=135.0, at=NOON), "Balanced in 45 s if you stay away"),
        (replace(DESKTOP, while_present=Profile.PAUSED), activity(60.0), "Sharing again in 2 min if you stay away"),
        (replace(DESKTOP, snooze_until=5900.0), activity(idle_s=1.0), "Sharing again in 15 min"),
        (replace(DESKTOP, snooze_until=12200.0), activity(at=NOON), "Sharing again from 14:00"),
        (replace(DESKTOP, card=Profile.CONSERVATIVE), activity(), "More only with a higher setting"),
        (replace(DESKTOP, grid=parse_grid(["P" * 24] * 7)), activity(), "More only with another schedule"),
        (
            replace(DESKTOP, grid=parse_grid(["P" * 24] * 5 + ["C" * 24] * 2)),
            activity(at=NOON),
            "Sharing again from Saturday 00:00",
        ),
        (SERVER, activity(), "Stays so"),
    ],
)
def test_what_comes_next_is_said_in_one_sentence(preferences: Preferences, seen: Activity, sentence: str) -> None:
    assert Machine(preferences, seen).decision.what_next == sentence


def test_going_up_is_named_as_the_reason_while_it_lasts() -> None:
    decision = Machine(DESKTOP, activity()).decision
    assert decision.reasons[0].rule == "climb"
    assert decision.reason == "going up one step at a time, to aggressive"
    assert decision.what_next == "Balanced in 30 s if you stay away"


def test_a_hold_is_named_with_the_time_that_is_left() -> None:
    machine = Machine(DESKTOP, activity(idle_s=0.0))
    machine.wait(240.0)
    machine.see(idle_s=0.0)
    machine.wait(300.0)
    assert machine.decision.reason == "you have been away for 5 min, held for another 1 min"


def test_a_person_who_comes_back_every_few_minutes_is_left_alone_soon() -> None:
    machine = Machine(DESKTOP, activity(idle_s=0.0))
    changes = 0
    for second in range(3600):
        before = machine.decision.profile
        machine.wait(1.0)
        if second % 200 == 199:
            machine.see(idle_s=0.0)
        changes += machine.decision.profile is not before
    assert changes <= 6


@pytest.mark.parametrize(
    ("power", "reason", "lifts"),
    [
        (Power(False, 0.54), "the computer runs on battery, 54 % left", "Sharing again after 1 min on mains power"),
        (Power(False), "the computer runs on battery", "Sharing again after 1 min on mains power"),
        (Power(True, 1.0, saver=True), "battery saver is on", "Sharing again when battery saver is off"),
        (
            Power(True, 0.4, falling=True),
            "the battery loses charge although there is mains power",
            "Sharing again when the battery holds its charge",
        ),
        (
            Power(None),
            "nothing here can tell whether the computer runs on battery",
            "Sharing whatever the power with: gogrid settings set power.pause_on_battery false",
        ),
    ],
)
@pytest.mark.parametrize("wanted", [DESKTOP, SERVER])
def test_without_enough_power_nothing_is_given(wanted: Preferences, power: Power, reason: str, lifts: str) -> None:
    machine = Machine(wanted, activity())
    machine.settle()
    assert machine.see(power=power) is Profile.PAUSED
    assert not machine.decision.accept_leases
    assert (machine.decision.reason, machine.decision.what_next) == (reason, lifts)
    assert machine.want(pause_on_battery=False) > Profile.PAUSED


def test_mains_power_counts_after_a_minute() -> None:
    machine = Machine(SERVER, activity())
    machine.see(power=Power(False, 0.8))
    assert machine.wait(300.0) is Profile.PAUSED
    assert machine.see(power=Power(True, 0.8)) is Profile.PAUSED
    assert machine.decision.reason == "the computer has mains power, held for another 1 min"
    assert machine.decision.what_next == "Sharing again in 1 min"
    assert machine.wait(59.0) is Profile.PAUSED
    assert machine.wait(1.0) is Profile.CONSERVATIVE


def test_what_fills_the_screen_pauses_and_is_named() -> None:
    machine = Machine(DESKTOP, activity())
    machine.settle()
    assert machine.see(screen=Screen(True, "mpv")) is Profile.PAUSED
    assert machine.decision.reason == "mpv fills the screen"
    assert machine.decision.what_next == "Sharing again 30 s after mpv leaves the full screen"
    machine.see(screen=Screen(False))
    assert machine.wait(29.0) is Profile.PAUSED
    assert machine.decision.what_next == "Sharing again in 1 s"
    assert machine.wait(1.0) is Profile.CONSERVATIVE


def test_a_program_that_may_fill_the_screen_does() -> None:
    machine = Machine(replace(DESKTOP, fullscreen_ignored=frozenset({"mpv"})), activity())
    machine.settle()
    assert machine.see(screen=Screen(True, "mpv")) is Profile.AGGRESSIVE
    assert machine.see(screen=Screen(True, "soffice.bin")) is Profile.PAUSED
    assert machine.see(screen=Screen(True)) is Profile.PAUSED
    assert machine.want(pause_on_fullscreen=False) > Profile.PAUSED


def test_a_screen_that_nobody_can_see_counts_as_present_but_not_on_a_server() -> None:
    assert Machine(DESKTOP, replace(activity(), screen=Screen(None))).settle() is Profile.CONSERVATIVE
    assert Machine(SERVER, replace(activity(), screen=Screen(None))).settle() is Profile.AGGRESSIVE
    assert Machine(SERVER, replace(activity(), screen=Screen(True, "mpv"))).settle() is Profile.AGGRESSIVE


GIB = 2**30


def gpu(use: float | None = 0.0, warm: float | None = 50.0, before: float | None = None, program: str = "") -> GpuUse:
    """`use` by others in the last sample, and `before` in the one before that."""
    if use is None:
        return GpuUse(0, 8 * GIB, 6 * GIB, None, None, None, warm, 93.0, True, program)
    low, high = sorted((use, use if before is None else before))
    return GpuUse(0, 8 * GIB, 6 * GIB, low, high, None, warm, 93.0, True, program)


@pytest.mark.parametrize(
    ("changes", "profile", "reason", "lifts"),
    [
        (
            {"session": Session(active=True, leaving="suspend")},
            Profile.PAUSED,
            "the computer goes to sleep",
            "Sharing again when it has woken up",
        ),
        (
            {"session": Session(active=False)},
            Profile.PAUSED,
            "another user is at the computer",
            "Sharing again 10 s after they leave",
        ),
        (
            {"session": Session()},
            Profile.CONSERVATIVE,
            "nothing here can tell whose session the screen shows",
            "More only where sessions can be seen: gogrid doctor says what is missing",
        ),
        (
            {"session": Session(active=True, remote=True)},
            Profile.CONSERVATIVE,
            "somebody works here from afar",
            "More when they have left",
        ),
        ({"other_agent": "eve"}, Profile.PAUSED, "eve shares this computer already", "Sharing again when eve pauses"),
        (
            {"gpu_problem": "GPU is lost"},
            Profile.PAUSED,
            "the GPU is lost: GPU is lost",
            "Sharing again when it answers",
        ),
        (
            {"attention": Attention(inhibitor="Firefox")},
            Profile.PAUSED,
            "Firefox keeps the screen awake",
            "Sharing again 30 s after Firefox lets the screen sleep",
        ),
        (
            {"attention": Attention(call="camera")},
            Profile.PAUSED,
            "the camera is in use",
            "Sharing again 30 s after the call",
        ),
        (
            {"attention": Attention(game_mode=True)},
            Profile.PAUSED,
            "a game asked for all that the computer has",
            "Sharing again 1 min after the game",
        ),
        (
            {"gpus": (gpu(0.8, program="doom"),)},
            Profile.PAUSED,
            "doom uses 80% of the GPU",
            "Sharing again 1 min after doom lets go of the GPU",
        ),
        (
            {"gpus": (gpu(0.2, program="blender"),)},
            Profile.CONSERVATIVE,
            "blender uses 20% of the GPU",
            "More 15 s after the GPU is free",
        ),
        (
            {"gpus": (gpu(None),)},
            Profile.BALANCED,
            "nothing here can tell whether others use the GPU",
            "More 15 s after the GPU is free",
        ),
        (
            {"gpus": (gpu(warm=80.0),)},
            Profile.CONSERVATIVE,
            "the GPU is at 80 °C",
            "More when it is cooler than 77 °C",
        ),
        (
            {"gpus": (gpu(warm=90.0),)},
            Profile.PAUSED,
            "the GPU is at 90 °C, near its own limit",
            "More when it is cooler than 77 °C",
        ),
        (
            {"others_cpu": 0.7},
            Profile.BALANCED,
            "other programs use more than half of the processor",
            "More when they use less",
        ),
        (
            {"programs": frozenset({"zoom"})},
            Profile.PAUSED,
            "zoom runs, and you want it paused for that",
            "Sharing again 30 s after zoom has ended",
        ),
    ],
)
def test_each_signal_has_its_ceiling_its_sentence_and_what_lifts_it(
    changes: dict[str, object], profile: Profile, reason: str, lifts: str
) -> None:
    machine = Machine(replace(DESKTOP, pause_for=frozenset({"zoom"})), activity(idle_s=40_000.0))
    assert machine.settle() is Profile.AGGRESSIVE
    assert machine.see(**changes) is profile
    assert (machine.decision.reason, machine.decision.what_next) == (reason, lifts)


def test_one_sample_alone_is_no_game_and_its_end_is_not_seen_in_one_either() -> None:
    machine = Machine(SERVER, replace(activity(), gpus=(gpu(),)))
    assert machine.see(gpus=(gpu(0.9, before=0.0),)) is Profile.AGGRESSIVE
    assert machine.see(gpus=(gpu(0.9),)) is Profile.PAUSED
    assert machine.decision.unload
    assert machine.see(gpus=(gpu(0.35),)) is Profile.PAUSED
    machine.see(gpus=(gpu(0.0, before=0.35),))
    assert machine.wait(1800.0) is Profile.PAUSED
    machine.see(gpus=(gpu(0.0),))
    assert machine.wait(59.0) is Profile.PAUSED
    assert machine.wait(1.0) is Profile.CONSERVATIVE
    assert not machine.decision.unload


def test_a_program_that_fills_the_screen_and_draws_is_a_game() -> None:
    machine = Machine(DESKTOP, replace(activity(), gpus=(gpu(0.15),)))
    assert machine.see(screen=Screen(True, "doom")) is Profile.PAUSED
    assert machine.decision.unload


def test_what_others_use_is_taken_from_our_time_at_once_and_comes_back_slowly() -> None:
    machine = Machine(SERVER, replace(activity(), gpus=(gpu(),)))
    assert machine.decision.limits.compute_share == 0.95
    machine.see(gpus=(gpu(0.09),))
    assert (machine.decision.profile, machine.decision.limits.compute_share) == (Profile.AGGRESSIVE, 0.90)
    machine.see(gpus=(gpu(0.38),))
    assert machine.decision.limits.compute_share == 0.60
    shares = [machine.decision.memory.share]
    machine.see(gpus=(gpu(),))
    for _ in range(12):
        shares.append(machine.decision.memory.share)
        machine.wait(5.0)
    assert shares[0] == 0.60
    assert all(0 <= after - before <= 0.1 + 1e-9 for before, after in itertools.pairwise(shares))
    assert shares[-1] == 1.0


def test_a_gpu_that_cooled_a_little_gets_back_only_what_will_not_warm_it_again() -> None:
    machine = Machine(SERVER, replace(activity(), gpus=(gpu(warm=76.0),)))
    assert machine.decision.memory.share == 0.50
    for warm, share in ((71.0, 0.85), (70.0, 1.0)):
        machine.see(gpus=(gpu(warm=warm),))
        machine.settle()
        assert machine.decision.memory.share == share


def test_a_gpu_that_does_not_tell_its_temperature_never_works_all_the_time() -> None:
    assert Machine(SERVER, replace(activity(), gpus=(gpu(warm=None),))).decision.limits.compute_share == 0.80


def test_locking_the_screen_is_leaving_and_so_is_logging_out() -> None:
    machine = Machine(DESKTOP, activity(idle_s=0.0))
    machine.see(session=Session(active=True, locked=True))
    assert machine.wait(9.0) is Profile.CONSERVATIVE
    machine.wait(31.0)
    assert machine.decision.profile > Profile.CONSERVATIVE
    alone = replace(activity(idle_s=None), session=Session(nobody=True))
    assert Machine(DESKTOP, alone).settle() is Profile.AGGRESSIVE


def test_a_metered_network_brings_no_new_work_and_ends_none() -> None:
    machine = Machine(SERVER, activity(jobs=1))
    assert machine.see(metered=True) is Profile.AGGRESSIVE
    assert not machine.decision.accept_leases
    assert machine.want(mind_metered=False) is Profile.AGGRESSIVE
    assert machine.decision.accept_leases


def test_a_pause_until_away_ends_when_the_person_has_gone() -> None:
    machine = Machine(DESKTOP, activity(idle_s=1.0))
    assert machine.want(until_away=True) is Profile.PAUSED
    assert machine.decision.reason == "you paused it until you are away"
    assert machine.wait(178.0) is Profile.PAUSED
    assert machine.wait(1.0) > Profile.PAUSED


def test_sharing_anyway_sets_soft_rules_aside_for_its_time_and_says_so() -> None:
    machine = Machine(DESKTOP, activity(idle_s=1.0))
    machine.see(screen=Screen(True, "mpv"))
    assert machine.decision.profile is Profile.PAUSED
    assert machine.want(anyway_until=machine.now + 3600) is Profile.AGGRESSIVE
    assert "mpv fills the screen, but you share anyway" in {reason.sentence for reason in machine.decision.reasons}
    assert machine.see(power=Power(False)) is Profile.PAUSED
    machine.see(power=Power(True))
    machine.wait(61.0)
    assert machine.decision.profile > Profile.PAUSED
    machine.wait(3600.0)
    assert machine.see(idle_s=0.0) is Profile.PAUSED


def test_no_setting_gives_more_than_the_administrator_allows() -> None:
    own = Limits(0.5, 0.5, 4, 0, 2, 4, 0)
    machine = Machine(replace(SERVER, administrator=Ceiling(Profile.BALANCED, "it allows balanced", own)), activity())
    assert machine.decision.profile is Profile.BALANCED
    assert machine.decision.limits == own.meet(PROFILE_LIMITS[Profile.BALANCED])
    assert machine.decision.what_next == "Only the administrator of this computer can allow more"
