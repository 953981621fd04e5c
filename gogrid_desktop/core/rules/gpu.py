"""Rules of the GPU: games, foreign use, heat. They look at the GPUs that the person lends."""

from __future__ import annotations

from gogrid_desktop.core.activity import Activity, Preferences, is_away
from gogrid_desktop.core.gpu_use import GpuUse
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.rules import Finding, free
from gogrid_desktop.core.words import in_words

GAME_HOLD_S = 60.0
FOREIGN_HOLD_S = 15.0
HEAT_HOLD_S = 60.0
#: Of a GPU's time. What trips at the first lifts under the second.
GAME_FROM, GAME_UNDER = 0.40, 0.30
FOREIGN_FROM, FOREIGN_UNDER = 0.10, 0.07
#: Below the person's limit the share of time falls in proportion over so many degrees; it is regained so much cooler.
HEAT_BAND_C, REGAIN_C = 8.0, 2.0
#: Of the GPU's time: what is regained leaves others so much more than they use.
REGAIN_SHARE = 0.05
#: Neither heat nor others bring the share of time lower than this; below it, a pause is the honest answer.
LEAST_SHARE = 0.2
#: A limit that was reached lifts so far below it; and so far below its own slowdown a card is left alone.
HEAT_UNDER_C = 3.0
#: Of a card that does not tell its temperature.
SHARE_BLIND = 0.8

_NO_GAME = free("no game runs")
_GAMES_IGNORED = free("games do not matter, as you set it")
_GAME_MODE = Finding(
    Profile.PAUSED,
    "a game asked for all that the computer has",
    f"Sharing again {in_words(GAME_HOLD_S)} after the game",
    unload=True,
)
_NOBODY_ELSE = free("nobody else uses the GPU")
_NO_GPU = free("no GPU is lent")
_COOL = free("the GPU is cool enough")
_BLIND = Finding(
    Profile.AGGRESSIVE,
    "the GPU does not tell its temperature: not all of its time",
    share=SHARE_BLIND,
    regain=SHARE_BLIND,
)


def game(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """Paused, and the memory given back, while another program uses a GPU as games do. Unknown: see `foreign`."""
    if not preferences.pause_for_games:
        return _GAMES_IGNORED
    if activity.attention.game_mode:
        return _GAME_MODE
    for gpu in activity.gpus:
        low, high = gpu.foreign_low, gpu.foreign_high
        if low is None or high is None:
            continue
        filled = activity.screen.fullscreen and low >= FOREIGN_FROM
        if low >= GAME_FROM or filled or (held is Profile.PAUSED and high >= GAME_UNDER):
            return _lets_go(gpu, low)
    return _NO_GAME


def foreign(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """Gentle while others use a GPU, and the less of its time the more they use. Unknown: gentle while present."""
    ceiling, sentence, share, regain = Profile.AGGRESSIVE, "", 1.0, 1.0
    for gpu in activity.gpus:
        low, high = gpu.foreign_low, gpu.foreign_high
        if low is None or high is None:
            away = is_away(activity, preferences)
            at_most = Profile.BALANCED if away else min(Profile.CONSERVATIVE, preferences.while_present)
            text = "nothing here can tell whether others use the GPU"
        else:
            if high:
                share = min(share, max(LEAST_SHARE, 1.0 - high))
                regain = min(regain, max(LEAST_SHARE, 1.0 - REGAIN_SHARE - high))
            if low < FOREIGN_FROM and (held > Profile.CONSERVATIVE or high < FOREIGN_UNDER):
                continue
            at_most = Profile.CONSERVATIVE
            text = f"{gpu.program or 'another program'} uses {high:.0%} of the GPU"
        if at_most < ceiling:
            ceiling, sentence = at_most, text
    if ceiling < Profile.AGGRESSIVE:
        lifts = f"More {in_words(FOREIGN_HOLD_S)} after the GPU is free"
        return Finding(ceiling, sentence, lifts, share=share, regain=regain)
    if share < 1.0:
        return Finding(ceiling, "others use little of the GPU", share=share, regain=regain)
    return _NOBODY_ELSE if activity.gpus else _NO_GPU


def heat(activity: Activity, preferences: Preferences, now: float, held: Profile) -> Finding:
    """Less of the time the nearer a GPU comes to the person's limit; gentle at it, nothing near the card's own."""
    if not activity.gpus:
        return _NO_GPU
    finding, limit_c = _COOL, preferences.gpu_limit_c
    for gpu in activity.gpus:
        now_c = gpu.temperature_c
        one = _BLIND if now_c is None else _by_heat(now_c, limit_c, gpu.slowdown_c, held)
        if one is not _COOL and _how_warm(one) < _how_warm(finding):
            finding = one
    return finding


def _by_heat(now_c: float, limit_c: float, slowdown_c: float | None, held: Profile) -> Finding:
    if slowdown_c is not None:
        # Whatever the person allows: the share of time must fall before the card itself steps in.
        limit_c = min(limit_c, slowdown_c - 2 * HEAT_UNDER_C)
    if now_c <= limit_c - HEAT_BAND_C - REGAIN_C:
        return _COOL
    lifts = f"More when it is cooler than {limit_c - HEAT_UNDER_C:.0f} °C"
    cool = now_c < limit_c - HEAT_UNDER_C
    if (slowdown_c is not None and now_c >= slowdown_c - HEAT_UNDER_C) or (held is Profile.PAUSED and not cool):
        return Finding(Profile.PAUSED, f"the GPU is at {now_c:.0f} °C, near its own limit", lifts)
    share = max(LEAST_SHARE, min(1.0, (limit_c - now_c) / HEAT_BAND_C))
    regain = max(LEAST_SHARE, min(1.0, (limit_c - REGAIN_C - now_c) / HEAT_BAND_C))
    if now_c >= limit_c or (held < Profile.AGGRESSIVE and not cool):
        return Finding(Profile.CONSERVATIVE, f"the GPU is at {now_c:.0f} °C", lifts, share=share, regain=regain)
    if regain < 1.0:
        warm = f"the GPU is at {now_c:.0f} °C: less of its time" if share < 1.0 else "the GPU is warm"
        return Finding(Profile.AGGRESSIVE, warm, share=share, regain=regain)
    return _COOL


def _how_warm(finding: Finding) -> tuple[Profile, float, float]:
    """The less, the warmer."""
    return finding.ceiling, finding.share, finding.regain


def _lets_go(gpu: GpuUse, low: float) -> Finding:
    program = gpu.program or "another program"
    lifts = f"Sharing again {in_words(GAME_HOLD_S)} after {program} lets go of the GPU"
    return Finding(Profile.PAUSED, lambda: f"{program} uses {low:.0%} of the GPU", lifts, unload=True)
