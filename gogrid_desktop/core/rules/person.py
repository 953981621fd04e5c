"""Rules of what the person says: the switch, finishing, their own settings, their schedule, their programs."""

from __future__ import annotations

from gogrid_desktop.core.activity import NO_CEILING, Activity, Preferences, is_away
from gogrid_desktop.core.profiles import Limits, Profile
from gogrid_desktop.core.rules import Finding, free
from gogrid_desktop.core.words import clock, in_words

APPLICATION_HOLD_S = 30.0

_ON = free("sharing is switched on")
_OFF = Finding(Profile.PAUSED, "you switched sharing off", "Sharing again when you switch it on")
_UNTIL_AWAY = Finding(Profile.PAUSED, "you paused it until you are away", "Sharing again when you are away")
_NOT_FINISHING = free("new work is welcome")
_FINISHED = Finding(Profile.PAUSED, "all work is finished, as you asked", "Sharing again when you switch it on")
_NO_PROGRAM = free("none of your programs to pause for runs")
_UNLIMITED = Finding(Profile.AGGRESSIVE, NO_CEILING.sentence)
_MORE = "More only with a higher setting"


def switch(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """Paused while the person says so; a snooze has an end, plain off stays off."""
    if not preferences.sharing:
        return _OFF
    until = preferences.snooze_until
    if until is not None and until > now:
        left_s = until - now
        return Finding(Profile.PAUSED, lambda: f"you paused it, {in_words(left_s)} left", changes_in_s=left_s)
    if preferences.until_away and not is_away(activity, preferences):
        return _UNTIL_AWAY
    return _ON


def drain(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """Finish, then pause: no new work, paused once the last job has ended."""
    if not preferences.drain:
        return _NOT_FINISHING
    running = activity.jobs_running
    if running == 0:
        return _FINISHED
    jobs = "1 job" if running == 1 else f"{running} jobs"
    sentence = f"finishing {jobs}, then pausing"
    return Finding(Profile.AGGRESSIVE, sentence, "Paused when this work has ended", accepts=False)


def application(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """Paused while a program runs that the person wants it paused for."""
    running = activity.programs & preferences.pause_for
    if not running:
        return _NO_PROGRAM
    program = min(running)
    lifts = f"Sharing again {in_words(APPLICATION_HOLD_S)} after {program} has ended"
    return Finding(Profile.PAUSED, f"{program} runs, and you want it paused for that", lifts)


def week_grid(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """The hour's ceiling, in local civil time."""
    weekday, second, shift = activity.weekday, activity.second_of_day, activity.shift
    profile, in_s = preferences.grid.at_and_next(weekday, second, shift)
    if in_s is None:
        lifts = "More only with another schedule" if profile < Profile.AGGRESSIVE else ""
        return Finding(profile, f"your schedule says {profile.word} all week", lifts)
    wall_s = in_s if shift is None else shift.wall_s(in_s)
    sentence = lambda: f"your schedule says {profile.word} until {clock(weekday, second, wall_s)}"  # noqa: E731
    return Finding(profile, sentence, changes_in_s=in_s)


def card(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """The person's own ceiling: the chosen card, the menu's "at most", and custom limits. None of them is a hold."""
    ceiling = min(preferences.card, preferences.at_most)
    custom = preferences.custom
    if custom is None:
        return _CARDS[ceiling]
    if gives_nothing(custom):
        what = "compute" if custom.compute_share <= 0 else "memory"
        return Finding(Profile.PAUSED, f"your custom limits give 0 % of {what}", _MORE, custom)
    most = f", at most {ceiling.word}" if ceiling < Profile.AGGRESSIVE else ""
    return Finding(ceiling, f"your custom limits{most}", _MORE, custom)


def administrator(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """What whoever looks after this computer allows. A file that cannot be read allows nothing."""
    allowed = preferences.administrator
    if allowed is NO_CEILING:
        return _UNLIMITED
    lifts = "Only the administrator of this computer can allow more" if allowed.profile < Profile.AGGRESSIVE else ""
    return Finding(allowed.profile, allowed.sentence, lifts, allowed.limits)


def gives_nothing(limits: Limits) -> bool:
    return min(limits.compute_share, limits.vram_fraction) <= 0 or limits.batch < 1


_CARDS = {
    profile: Finding(profile, f"your setting is {profile.word}", _MORE if profile < Profile.AGGRESSIVE else "")
    for profile in Profile
}
