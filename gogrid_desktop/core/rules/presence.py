"""Rules of where the person is and what they do: at the keyboard, elsewhere, watching, talking."""

from __future__ import annotations

from gogrid_desktop.core.activity import Activity, Preferences, away_after_s, is_away
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.rules import Finding, free
from gogrid_desktop.core.words import ago, in_words

#: A film may leave the full screen for a moment.
SCREEN_HOLD_S = 30.0
SESSION_HOLD_S = 10.0
CALL_HOLD_S = 30.0
REMOTE_HOLD_S = 30.0

_NOBODY = free("nobody is logged in")
_OURS = free("the screen shows your session, or nobody's")
_THEIRS = Finding(
    Profile.PAUSED, "another user is at the computer", f"Sharing again {in_words(SESSION_HOLD_S)} after they leave"
)
_NO_CALL = free("neither microphone nor camera is in use")
_CALL_UNKNOWN = free("nothing here can tell whether a call is on")
_NOT_REMOTE = free("nobody works here from afar")
_REMOTE = Finding(Profile.CONSERVATIVE, "somebody works here from afar", "More when they have left")
_EMPTY = free("no program fills the screen")
_SCREEN_IGNORED = free("full-screen programs do not matter, as you set it")
_CALL_IGNORED = free("calls do not matter, as you set it")


def presence(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """Gentle (or paused) while input is less than `away_after_s` ago. Unknown counts as present.

    The away time is the rule's hold: coming back early doubles both.
    """
    idle_s = activity.idle_s
    if is_away(activity, preferences):
        if idle_s is None:
            return _NOBODY
        return Finding(Profile.AGGRESSIVE, lambda: f"you have been away for {in_words(idle_s)}", clear_s=idle_s)
    if idle_s is None:
        return Finding(
            preferences.while_present,
            "nothing here can tell whether you are at the computer",
            "More only where idle time can be seen: gogrid doctor says what is missing",
        )
    left_s = away_after_s(activity, preferences) - idle_s
    return Finding(preferences.while_present, lambda: f"you used the computer {ago(idle_s)}", changes_in_s=left_s)


def another_session(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """Paused while the screen shows another user's session. Unknown counts as present."""
    session = activity.session
    if session.active or session.nobody:
        return _OURS
    if session.active is None:
        return Finding(
            preferences.while_present,
            "nothing here can tell whose session the screen shows",
            "More only where sessions can be seen: gogrid doctor says what is missing",
        )
    return _THEIRS


def screen(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """Paused while a program fills the screen or keeps it awake.

    Unknown counts as present where nothing else tells of a film or a game, and is ignored where foreign use of the GPU
    is known.
    """
    if not preferences.pause_on_fullscreen:
        return _SCREEN_IGNORED
    seen, awake = activity.screen, activity.attention.inhibitor
    if seen.fullscreen and not _ignored(seen.program, preferences):
        program = seen.program or "a program"
        lifts = f"Sharing again {in_words(SCREEN_HOLD_S)} after {program} leaves the full screen"
        return Finding(Profile.PAUSED, f"{program} fills the screen", lifts)
    if awake and not _ignored(awake, preferences):
        lifts = f"Sharing again {in_words(SCREEN_HOLD_S)} after {awake} lets the screen sleep"
        return Finding(Profile.PAUSED, f"{awake} keeps the screen awake", lifts)
    if seen.fullscreen is None and not (activity.gpus and all(gpu.foreign_low is not None for gpu in activity.gpus)):
        return Finding(
            preferences.while_present,
            "nothing here can tell whether a program fills the screen",
            "More whatever the screen shows with: gogrid settings set screen.pause_on_fullscreen false",
        )
    if seen.fullscreen:
        return Finding(Profile.AGGRESSIVE, f"{seen.program} may fill the screen, as you set it")
    return _EMPTY


def call(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """Paused while microphone or camera is in use. Unknown is ignored: few computers can tell."""
    if not preferences.pause_in_calls:
        return _CALL_IGNORED
    device = activity.attention.call
    if device is None:
        return _CALL_UNKNOWN
    if not device:
        return _NO_CALL
    lifts = f"Sharing again {in_words(CALL_HOLD_S)} after the call"
    return Finding(Profile.PAUSED, f"the {device} is in use", lifts)


def remote(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """Gentle while somebody works here from afar, whose input idle time may not show."""
    return _REMOTE if activity.session.remote else _NOT_REMOTE


def _ignored(program: str, preferences: Preferences) -> bool:
    return bool(program) and program.lower() in preferences.fullscreen_ignored
