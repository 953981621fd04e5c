"""A recording, decided anew: what the policy would have given over that time, under other settings too.

The real `decide` runs in virtual time, at every change that was recorded and whenever it asked to be asked again, not
at each second. While the computer slept, the policy's clock stood still, as that of Linux and macOS does.

A recording of a computer that shared has our own work in it: its heat, and what it left others of the GPU. It is
replayed as it was, although another decision would have made another day of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from gogrid_desktop.core.activity import Activity, Preferences
from gogrid_desktop.core.policy import Decision, Memory, decide
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.recording import Frame, Recording

#: Time goes on by so much at least, whatever rounding makes of a moment.
LEAST_STEP_S = 0.001
ASLEEP = "asleep"


@dataclass(frozen=True, slots=True)
class Step:
    """From `t0` to `t1` (seconds since the start) `decision` held, made from `activity` at `t0`; None: asleep."""

    t0: float
    t1: float
    activity: Activity
    decision: Decision | None

    @property
    def profile(self) -> Profile:
        return Profile.PAUSED if self.decision is None else self.decision.profile

    @property
    def compute_share(self) -> float:
        return 0.0 if self.decision is None else self.decision.limits.compute_share


@dataclass(frozen=True, slots=True)
class Band:
    """From `t0` to `t1` the same was given, for the same `rule` (the one that binds; "asleep": none)."""

    t0: float
    t1: float
    profile: Profile
    compute_share: float
    rule: str


def as_recorded(preferences: Preferences, recording: Recording) -> Preferences:
    """With the role of the computer that was recorded, and its programs to pause for where those have no names."""
    pause_for = frozenset() if recording.header.names else recording.to_pause_for
    return replace(preferences, role=recording.header.role, pause_for=preferences.pause_for | pause_for)


def steps(frames: Iterable[Frame], preferences: Preferences) -> Iterator[Step]:
    """Every decision, and how long it held."""
    memory, slept_s = Memory(), 0.0
    for frame, following in pairwise(frames):
        at, activity = frame.t, frame.activity
        until = following.t - following.slept_s
        while True:
            decision = decide(activity, preferences, memory, at - slept_s)
            memory = decision.memory
            end = min(until, max(decision.next_check + slept_s, at + LEAST_STEP_S))
            if end > at:
                yield Step(at, end, activity, decision)
            if end >= until:
                break
            activity, at = activity.after(end - at), end
        if following.slept_s > 0:
            yield Step(until, following.t, activity, None)
            slept_s += following.slept_s


def bands(made: Iterable[Step]) -> Iterator[Band]:
    """What was given, and by which rule, as few bands as there are."""
    band: Band | None = None
    names = _Binding()
    for step in made:
        rule = names.of(step.decision)
        if band is not None and (band.profile, band.compute_share, band.rule) == (
            step.profile,
            step.compute_share,
            rule,
        ):
            band = Band(band.t0, step.t1, band.profile, band.compute_share, rule)
            continue
        if band is not None:
            yield band
        band = Band(step.t0, step.t1, step.profile, step.compute_share, rule)
    if band is not None:
        yield band


class _Binding:
    """The rule that binds. Reasons are asked for only where they can have changed: they cost more than the decision."""

    def __init__(self) -> None:
        self._known: tuple[object, ...] | None = None
        self._rule = ""

    def of(self, decision: Decision | None) -> str:
        if decision is None:
            return ASLEEP
        memory = decision.memory
        now = (decision.profile, decision.target, memory.anyway, memory.held)
        if now != self._known:
            self._known, self._rule = now, decision.reasons[0].rule
        return self._rule
