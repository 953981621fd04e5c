"""The computer's own civil time, and when its clocks change next. Source: the C library, through Python's `time`."""

from __future__ import annotations

import time

from gogrid_desktop.core.civil import CivilTime
from gogrid_desktop.core.windows import DAY_S, DAYS, Shift

#: So far ahead a change of the clocks is looked for: a ceiling lasts for a week at most. Two changes in this time, as
#: some years of some zones had them, are not told apart; the next reading after the first one knows of the second.
AHEAD_S = (DAYS + 1) * DAY_S


def civil_time(now: float) -> CivilTime:
    """`now` in seconds since the epoch."""
    local = time.localtime(now)
    second_of_day = local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec + now % 1
    return CivilTime(local.tm_wday, second_of_day, _next_shift(now, local.tm_gmtoff))


def _next_shift(now: float, offset_s: int) -> Shift | None:
    before, after = int(now), int(now + AHEAD_S)
    later_s = _offset_s(after)
    if later_s == offset_s:
        return None
    while after - before > 1:
        middle = (before + after) // 2
        if _offset_s(middle) == offset_s:
            before = middle
        else:
            after = middle
    return Shift(after - now, float(_offset_s(after) - offset_s))


def _offset_s(at: int) -> int:
    return time.localtime(at).tm_gmtoff
