"""The rules: each looks at what it knows and returns a ceiling with a sentence.

A rule never raises what another one allows. It says for itself what it does when it knows nothing, for how long its
cause must be gone before it lifts (`hold_s`), and when time alone could change its mind. Sentences are written to
follow a headline and a colon: no capital, no full stop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from gogrid_desktop.core.activity import Activity, Preferences, Role
from gogrid_desktop.core.profiles import Limits, Profile
from gogrid_desktop.core.windows import WEEKDAYS

#: On mains for this long before it counts: a plug that is moved to another socket is no reason to begin.
POWER_HOLD_S = 60.0
#: A film may leave the full screen for a moment.
SCREEN_HOLD_S = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says now.

    `ceiling` AGGRESSIVE means no objection. `limits` only where a ceiling is no named point. `clear_s`: for how long
    the cause has been gone already, where the rule can tell; `changes_in_s`: seconds until time alone could change
    `ceiling` (inf: never). `lifts`: what would lift it, when time does not.
    """

    ceiling: Profile
    sentence: str
    limits: Limits | None = None
    clear_s: float = 0.0
    changes_in_s: float = math.inf
    lifts: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """`judge` gets activity, preferences and now; `hold_s` the preferences."""

    name: str
    judge: Callable[[Activity, Preferences, float], Finding]
    hold_s: Callable[[Preferences], float]
    roles: tuple[Role, ...] = (Role.DESKTOP, Role.SERVER)


def switch(activity: Activity, preferences: Preferences, now: float) -> Finding:
    """Paused while the person says so; a snooze has an end, plain off stays off."""
    if not preferences.sharing:
        return Finding(Profile.PAUSED, "you switched sharing off", lifts="Sharing again when you switch it on")
    until = preferences.snooze_until
    if until is not None and until > now:
        return Finding(Profile.PAUSED, f"you paused it, {in_words(until - now)} left", changes_in_s=until - now)
    return Finding(Profile.AGGRESSIVE, "sharing is switched on")


def drain(activity: Activity, preferences: Preferences, now: float) -> Finding:
    """Finish, then pause: no new work (`accept_leases` false), paused once the last job has ended."""
    if not preferences.drain:
        return Finding(Profile.AGGRESSIVE, "new work is welcome")
    resume = "Sharing again when you switch it on"
    if activity.jobs_running == 0:
        return Finding(Profile.PAUSED, "all work is finished, as you asked", lifts=resume)
    jobs = "1 job" if activity.jobs_running == 1 else f"{activity.jobs_running} jobs"
    return Finding(Profile.AGGRESSIVE, f"finishing {jobs}, then pausing", lifts="Paused when this work has ended")


def power(activity: Activity, preferences: Preferences, now: float) -> Finding:
    """Paused on battery, with battery saver, and while the battery loses charge on mains. Unknown counts as battery.

    Whether there is a battery at all is known wherever anything is: without one there is mains power.
    """
    seen = activity.power
    if not preferences.pause_on_battery:
        return Finding(Profile.AGGRESSIVE, "battery power does not matter, as you set it")
    if seen.mains is None:
        return Finding(
            Profile.PAUSED,
            "nothing here can tell whether the computer runs on battery",
            lifts="Sharing whatever the power with: gogrid settings set power.pause_on_battery false",
        )
    lifts = f"Sharing again after {in_words(POWER_HOLD_S)} on mains power"
    if not seen.mains:
        charge = "" if seen.charge is None else f", {round(seen.charge * 100)} % left"
        return Finding(Profile.PAUSED, f"the computer runs on battery{charge}", lifts=lifts)
    if seen.saver:
        return Finding(Profile.PAUSED, "battery saver is on", lifts="Sharing again when battery saver is off")
    if seen.falling:
        lifts = "Sharing again when the battery holds its charge"
        return Finding(Profile.PAUSED, "the battery loses charge although there is mains power", lifts=lifts)
    return Finding(Profile.AGGRESSIVE, "the computer has mains power")


def presence(activity: Activity, preferences: Preferences, now: float) -> Finding:
    """Gentle (or paused) while input is less than `away_after_s` ago. Unknown counts as present.

    The away time is the rule's hold: coming back early doubles both.
    """
    if activity.idle_s is None:
        return Finding(
            preferences.while_present,
            "nothing here can tell whether you are at the computer",
            lifts="More only where idle time can be seen: gogrid doctor says what is missing",
        )
    if activity.idle_s < preferences.away_after_s:
        return Finding(
            preferences.while_present,
            f"you used the computer {ago(activity.idle_s)}",
            changes_in_s=preferences.away_after_s - activity.idle_s,
        )
    return Finding(Profile.AGGRESSIVE, f"you have been away for {in_words(activity.idle_s)}", clear_s=activity.idle_s)


def screen(activity: Activity, preferences: Preferences, now: float) -> Finding:
    """Paused while a program fills the screen. Unknown counts as present."""
    seen = activity.screen
    if not preferences.pause_on_fullscreen:
        return Finding(Profile.AGGRESSIVE, "full-screen programs do not matter, as you set it")
    if seen.fullscreen is None:
        return Finding(
            preferences.while_present,
            "nothing here can tell whether a program fills the screen",
            lifts="More whatever the screen shows with: gogrid settings set screen.pause_on_fullscreen false",
        )
    if not seen.fullscreen:
        return Finding(Profile.AGGRESSIVE, "no program fills the screen")
    ignored = {name.lower() for name in preferences.fullscreen_ignored}
    if seen.program and seen.program.lower() in ignored:
        return Finding(Profile.AGGRESSIVE, f"{seen.program} may fill the screen, as you set it")
    program = seen.program or "a program"
    lifts = f"Sharing again {in_words(SCREEN_HOLD_S)} after {program} leaves the full screen"
    return Finding(Profile.PAUSED, f"{program} fills the screen", lifts=lifts)


def week_grid(activity: Activity, preferences: Preferences, now: float) -> Finding:
    """The hour's ceiling, in local civil time."""
    profile = preferences.grid.at(activity.weekday, activity.second_of_day)
    change = preferences.grid.next_change(activity.weekday, activity.second_of_day)
    if change is None:
        lifts = "More only with another schedule" if profile < Profile.AGGRESSIVE else ""
        return Finding(profile, f"your schedule says {profile.word} all week", lifts=lifts)
    until = clock(activity, change.in_s)
    return Finding(profile, f"your schedule says {profile.word} until {until}", changes_in_s=change.in_s)


def card(activity: Activity, preferences: Preferences, now: float) -> Finding:
    """The person's own ceiling: the chosen card, the menu's "at most", and custom limits. None of them is a hold."""
    ceiling = min(preferences.card, preferences.at_most)
    custom = preferences.custom
    lifts = "More only with a higher setting" if custom is not None or ceiling < Profile.AGGRESSIVE else ""
    if custom is None:
        sentence = f"your setting is {ceiling.word}"
    elif min(custom.compute_share, custom.vram_fraction) <= 0 or custom.batch < 1:
        what = "compute" if custom.compute_share <= 0 else "memory"
        return Finding(Profile.PAUSED, f"your custom limits give 0 % of {what}", custom, lifts=lifts)
    else:
        sentence = "your custom limits" + (f", at most {ceiling.word}" if ceiling < Profile.AGGRESSIVE else "")
    return Finding(ceiling, sentence, custom, lifts=lifts)


def _at_once(preferences: Preferences) -> float:
    return 0.0


#: In the order in which equal ceilings are named.
RULES = (
    Rule("switch", switch, _at_once),
    Rule("drain", drain, _at_once),
    Rule("power", power, lambda wanted: POWER_HOLD_S if wanted.pause_on_battery else 0.0),
    Rule("presence", presence, lambda preferences: preferences.away_after_s, (Role.DESKTOP,)),
    Rule("screen", screen, lambda wanted: SCREEN_HOLD_S if wanted.pause_on_fullscreen else 0.0, (Role.DESKTOP,)),
    Rule("schedule", week_grid, _at_once, (Role.DESKTOP,)),
    Rule("setting", card, _at_once),
)


def in_words(seconds: float) -> str:
    """A duration as a person says it: "12 s", "3 min", "2 h 5 min", "4 days"."""
    whole = max(0, math.ceil(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{round(whole / 60)} min"
    if whole < 48 * 3600:
        hours, minutes = divmod(round(whole / 60), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(whole / 86400)} days"


def ago(seconds: float) -> str:
    return "just now" if seconds < 1 else f"{in_words(math.floor(seconds))} ago"


def clock(activity: Activity, in_s: float) -> str:
    """The civil time `in_s` seconds from now: "22:00", with the weekday when it is further than a day away."""
    # Half a second more: what is a whole minute in exact numbers must not be shown as the minute before.
    then = activity.after(in_s + 0.5)
    time = f"{int(then.second_of_day // 3600):02}:{int(then.second_of_day % 3600 // 60):02}"
    return time if in_s < 86400 else f"{WEEKDAYS[then.weekday]} {time}"
