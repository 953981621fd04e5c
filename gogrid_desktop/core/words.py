"""Durations and moments as a person says them."""

from __future__ import annotations

import math

from gogrid_desktop.core.windows import DAY_S, DAYS, WEEKDAYS


def in_words(seconds: float) -> str:
    """A duration: "12 s", "3 min", "2 h 5 min", "4 days"."""
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


def clock(weekday: int, second_of_day: float, in_s: float) -> str:
    """The civil time `in_s` seconds of the wall's clock later: "22:00", with the weekday beyond a day."""
    # Half a second more: what is a whole minute in exact numbers must not be shown as the minute before.
    days, then = divmod(second_of_day + in_s + 0.5, DAY_S)
    time = f"{int(then // 3600):02}:{int(then % 3600 // 60):02}"
    return time if in_s < DAY_S else f"{WEEKDAYS[(weekday + int(days)) % DAYS]} {time}"
