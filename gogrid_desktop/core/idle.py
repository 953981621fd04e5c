"""How long ago the person touched the computer, told from several sources that may each be silent, stuck or wrong.

Unknown means in use, so that every doubt makes the answer smaller or None. The rules:

- A counter is *proven* once it grew with the clock for 5 s or more and then fell to an input since the last look. Only
  proven counters can call the person away, and the smallest of them does.
- Nobody must have to touch a key before the machine may ever be lent: as long as no counter at all has been proven, one
  that keeps step with the clock for 30 s counts as trusted. From the first proof on this is over for good: a counter
  that went on growing through an input that another one saw is the one that must not be alone later.
- A counter that is not trusted still lowers the answer. Where nothing is trusted, the smallest reading is told below
  10 s, which is "in use" by every setting, and is unknown above.
- A counter that makes no sense (negative, not a number, ahead of the clock by more than 2 s, back to an input before
  the last look) is named and has to be proven, whatever it was before.
- A counter that did not grow for ten minutes, while a proven one did, is named and dropped until it grows again.
- A hint says "idle since", long after the last input, or "not idle" (0). It counts only where no counter is trusted,
  and only once it was seen to say "not idle": otherwise nobody tends it.
- Presence (a gamepad) can only lower the answer: that nobody plays says nothing.

All times are seconds on a clock that never jumps (monotonic).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

SLACK_S, GREW_S, STEADY_S = 2.0, 5.0, 30.0
STUCK_S = 600.0
#: Less than this is "in use", whatever the person has set.
IN_USE_S = 10.0
#: Clocks differ a little: that a counter keeps step is measured anew from here on.
_MEASURED_ANEW_S = 60.0


class Kind(Enum):
    """What a source can know."""

    COUNTER = "counter"  # seconds since the last input
    HINT = "hint"  # seconds since the desktop declared itself idle, 0 while it does not
    PRESENCE = "presence"  # seconds since an input of some kind; None or large while there is none


@dataclass(frozen=True, slots=True)
class Reading:
    """What `source` said at `at`; `idle_s` None: it does not know."""

    source: str
    kind: Kind
    idle_s: float | None
    at: float


@dataclass(frozen=True, slots=True)
class Idle:
    """Seconds since the last input, None: unknown; the source that says so; sentences on sources that do not count."""

    idle_s: float | None
    source: str = "none"
    notes: tuple[str, ...] = ()


class _Counter:
    """What was seen of one counter."""

    def __init__(self) -> None:
        self.proven = self.lied = self.dropped = False
        self._began = self._grew = 0.0  # since when it keeps step with the clock; when it was last seen to
        self._anchor = (0.0, 0.0)
        self._last: tuple[float, float] | None = None
        self._silent = False

    def steady(self) -> bool:
        return not self.lied and self._kept_step_s() >= STEADY_S

    def stands_still(self, at: float) -> bool:
        return at - self._grew >= STUCK_S

    def silent(self) -> None:
        self._silent = True

    def lie(self) -> None:
        self.proven, self.lied, self._last = False, True, None

    def take(self, at: float, idle_s: float) -> None:
        if self._last is None:
            return self._begin(at, idle_s)
        last_at, last_s = self._last
        since_s = at - last_at
        ahead_s = (idle_s - self._anchor[1]) - (at - self._anchor[0])
        fell = ahead_s < -SLACK_S and (idle_s <= since_s + SLACK_S or idle_s < last_s - SLACK_S)
        if ahead_s > SLACK_S or (fell and idle_s > since_s + SLACK_S):
            self.lie()
        elif fell and not self._silent and self._kept_step_s() >= GREW_S:
            self.proven, self.lied = True, False
        if self._silent or abs(ahead_s) > SLACK_S:
            return self._begin(at, idle_s)
        self._last = (at, idle_s)
        if self._kept_step_s() >= GREW_S:
            self._grew, self.dropped = at, False
        if at - self._anchor[0] >= _MEASURED_ANEW_S:
            self._anchor = self._last
        return None

    def _kept_step_s(self) -> float:
        return 0.0 if self._last is None else self._last[0] - self._began

    def _begin(self, at: float, idle_s: float) -> None:
        if self._silent or self._last is None:
            self._grew = at  # what was away is not stuck yet
        self._began, self._anchor, self._last, self._silent = at, (at, idle_s), (at, idle_s), False


class IdleFusion:
    """Fold the readings of each look, in the order of their rank; of equal ones the first is named."""

    def __init__(self) -> None:
        self._counters: dict[str, _Counter] = {}
        self._tended: set[str] = set()  # hints that were seen to say "not idle"
        self._any_proven = False

    def fold(self, readings: Iterable[Reading]) -> Idle:
        sane = [reading for reading in readings if self._take(reading)]
        self._any_proven = self._any_proven or any(each.proven for each in self._counters.values())
        counters = [reading for reading in sane if reading.kind is Kind.COUNTER]
        self._drop_stuck(counters)
        counters = [reading for reading in counters if not self._counters[reading.source].dropped]
        trusted = [reading for reading in counters if self._trusts(reading.source)]
        hints = [reading for reading in sane if reading.kind is Kind.HINT and reading.idle_s]
        away = trusted or [reading for reading in hints if reading.source in self._tended]
        presence = [reading for reading in sane if reading.kind is Kind.PRESENCE]
        smallest = min((*away, *counters, *presence), key=_idle_s, default=None)
        if smallest is None or (not away and _idle_s(smallest) >= IN_USE_S):
            return Idle(None, notes=self._notes())
        return Idle(smallest.idle_s, smallest.source, self._notes())

    def _take(self, reading: Reading) -> bool:
        """Remember it; whether it says anything."""
        idle_s = reading.idle_s
        sane = idle_s is not None and math.isfinite(idle_s) and idle_s >= 0
        if reading.kind is Kind.HINT and sane and not idle_s:
            self._tended.add(reading.source)
        if reading.kind is Kind.COUNTER:
            counter = self._counters.setdefault(reading.source, _Counter())
            if idle_s is None:
                counter.silent()
            elif not sane:
                counter.lie()
            else:
                counter.take(reading.at, idle_s)
        return sane

    def _trusts(self, source: str) -> bool:
        counter = self._counters[source]
        return counter.proven or (not self._any_proven and counter.steady())

    def _drop_stuck(self, counters: Iterable[Reading]) -> None:
        moving = [each for each in counters if not self._stands_still(each)]
        still = [self._counters[each.source] for each in counters if self._stands_still(each)]
        if any(self._counters[each.source].proven and _idle_s(each) >= STUCK_S for each in moving):
            for counter in still:
                counter.dropped, counter.proven = True, False

    def _stands_still(self, reading: Reading) -> bool:
        return self._counters[reading.source].stands_still(reading.at)

    def _notes(self) -> tuple[str, ...]:
        stuck = [f"{name} stands still and does not count" for name, each in self._counters.items() if each.dropped]
        wrong = [f"{name} makes no sense and is not trusted" for name, each in self._counters.items() if each.lied]
        return (*stuck, *wrong)


def _idle_s(reading: Reading) -> float:
    return math.inf if reading.idle_s is None else reading.idle_s
