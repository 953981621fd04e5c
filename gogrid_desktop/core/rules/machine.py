"""Rules of the machine: sleep, power, the network, the CPU, and whoever else shares it."""

from __future__ import annotations

from gogrid_desktop.core.activity import Activity, Preferences
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.rules import Finding, free
from gogrid_desktop.core.words import in_words

SYSTEM_HOLD_S = 10.0
#: On mains for this long before it counts: a plug that is moved to another socket is no reason to begin.
POWER_HOLD_S = 60.0
OTHERS_CPU_HOLD_S = 20.0
OTHERS_CPU_FROM, OTHERS_CPU_UNDER = 0.5, 0.4

_AWAKE = free("the computer stays on")
_LEAVING = {
    "suspend": Finding(Profile.PAUSED, "the computer goes to sleep", "Sharing again when it has woken up"),
    "shutdown": Finding(Profile.PAUSED, "the computer shuts down", "Sharing again when it has started"),
}
_ALONE = free("no other agent shares this computer")
_MAINS = free("the computer has mains power")
_POWER_IGNORED = free("battery power does not matter, as you set it")
_POWER_UNKNOWN = Finding(
    Profile.PAUSED,
    "nothing here can tell whether the computer runs on battery",
    "Sharing whatever the power with: gogrid settings set power.pause_on_battery false",
)
_SAVER = Finding(Profile.PAUSED, "battery saver is on", "Sharing again when battery saver is off")
_FALLING = Finding(
    Profile.PAUSED,
    "the battery loses charge although there is mains power",
    "Sharing again when the battery holds its charge",
)
_UNMETERED = free("the network is not metered, as far as it tells")
_METERED_IGNORED = free("a metered network does not matter, as you set it")
_METERED = Finding(Profile.AGGRESSIVE, "the network is metered: no new work", "New work again elsewhere", accepts=False)
_CPU_FREE = free("others leave the processor free")
_CPU_BUSY = Finding(Profile.BALANCED, "other programs use more than half of the processor", "More when they use less")


def system(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """Paused when the system is about to sleep or to end, and while the driver of a GPU that was there is not."""
    if activity.session.leaving:
        return _LEAVING[activity.session.leaving]
    if activity.gpu_problem:
        return Finding(Profile.PAUSED, f"the GPU is lost: {activity.gpu_problem}", "Sharing again when it answers")
    return _AWAKE


def other_agent(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """Paused while another agent on this computer shares: two would chase each other."""
    if not activity.other_agent:
        return _ALONE
    who = activity.other_agent
    return Finding(Profile.PAUSED, f"{who} shares this computer already", f"Sharing again when {who} pauses")


def power(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """Paused on battery, with battery saver, and while the battery loses charge on mains. Unknown counts as battery.

    Whether there is a battery at all is known wherever anything is: without one there is mains power.
    """
    seen = activity.power
    if not preferences.pause_on_battery:
        return _POWER_IGNORED
    if seen.mains is None:
        return _POWER_UNKNOWN
    if not seen.mains:
        charge = "" if seen.charge is None else f", {round(seen.charge * 100)} % left"
        lifts = f"Sharing again after {in_words(POWER_HOLD_S)} on mains power"
        return Finding(Profile.PAUSED, f"the computer runs on battery{charge}", lifts)
    if seen.saver:
        return _SAVER
    return _FALLING if seen.falling else _MAINS


def network(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """No new work over a network that costs by the byte; what runs is finished. Unknown counts as unmetered."""
    if not preferences.mind_metered:
        return _METERED_IGNORED
    return _METERED if activity.metered else _UNMETERED


def others_cpu(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """Not fully while other programs are busy. Unknown is ignored: they go first in any case, by their rank."""
    others = activity.others_cpu
    if others is None or others < (OTHERS_CPU_UNDER if held < Profile.AGGRESSIVE else OTHERS_CPU_FROM):
        return _CPU_FREE
    return _CPU_BUSY
