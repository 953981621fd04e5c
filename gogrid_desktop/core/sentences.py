"""A decision in words, made when they are read: the reasons, the headline, and what comes next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from gogrid_desktop.core.activity import Activity, Preferences, Role
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.rules import Finding, Rule, said
from gogrid_desktop.core.status import Reason
from gogrid_desktop.core.words import clock, in_words

if TYPE_CHECKING:
    from gogrid_desktop.core.policy import Decision, Memory

_HEADLINES = {
    Profile.PAUSED: "Paused",
    Profile.CONSERVATIVE: "Sharing gently",
    Profile.BALANCED: "Sharing",
    Profile.AGGRESSIVE: "Sharing fully",
}


class Decide(Protocol):
    def __call__(self, activity: Activity, preferences: Preferences, memory: Memory, now: float) -> Decision: ...


class Sentences:
    """What was decided at `now`, from what; `findings` are those of `rules`, in their order. `decide` looks ahead."""

    def __init__(
        self,
        activity: Activity,
        preferences: Preferences,
        now: float,
        profile: Profile,
        target: Profile,
        rules: Sequence[Rule],
        findings: Sequence[Finding],
        memory: Memory,
        decide: Decide,
    ) -> None:
        self._activity, self._preferences, self._now = activity, preferences, now
        self._profile, self._target, self._memory, self._decide = profile, target, memory, decide
        self._rules, self._findings = rules, findings

    @property
    def headline(self) -> str:
        finishing = self._preferences.drain and self._profile > Profile.PAUSED
        return "Finishing" if finishing else _HEADLINES[self._profile]

    @cached_property
    def reasons(self) -> tuple[Reason, ...]:
        """All ceilings, the one that binds first."""
        quiet = {rule.name for rule in self._rules if rule.quiet}
        reasons = []
        for rule, held, finding in zip(self._rules, self._memory.held, self._findings, strict=True):
            sentence, ceiling = said(finding.sentence), held.ceiling
            if held.free_since is not None:
                left_s = held.free_since + held.hold_s(rule.hold_s(self._activity, self._preferences)) - self._now
                sentence = f"{sentence}, held for another {in_words(left_s)}"
            if self._memory.anyway and not rule.hard and ceiling < Profile.AGGRESSIVE:
                sentence, ceiling = f"{sentence}, but you share anyway", Profile.AGGRESSIVE
            reasons.append(Reason(rule.name, ceiling, sentence))
        # Where nothing is paused, "you have been away" is the better first reason than "the computer has mains power".
        reasons.sort(key=lambda reason: (reason.ceiling, _at_ease(reason) and reason.rule in quiet))
        if self._profile < self._target:
            slowly = f"going up one step at a time, to {self._target.word}"
            reasons.insert(0, Reason("climb", self._profile, slowly))
        if self._preferences.drain and self._profile > Profile.PAUSED:
            # Not the least ceiling, but what the person asked for and waits for.
            reasons.sort(key=lambda reason: reason.rule != "drain")
        return tuple(reasons)

    @cached_property
    def what_next(self) -> str:
        """One sentence: the first change of profile that time alone brings, otherwise what would bring one."""
        return self._ahead() or self._lifts() or "Stays so"

    def _ahead(self) -> str:
        memory, at, later = self._memory, self._now, self._activity
        # Enough for every snooze end, hold, step up and change of the grid that can come before the profile moves.
        for _ in range(24):
            ahead = self._decide(later, self._preferences, memory, at)
            if ahead.profile != self._profile:
                return self._comes(ahead.profile, at - self._now)
            if math.isinf(ahead.next_check):
                return ""
            # A millisecond past the moment, so that rounding cannot leave us just before it.
            before, at = at, ahead.next_check + 0.001
            later, memory = later.after(at - before), ahead.memory
        return ""

    def _comes(self, profile: Profile, in_s: float) -> str:
        seen, wanted = self._activity, self._preferences
        if in_s < 3600:
            when = f"in {in_words(round(in_s, 1))}"
        else:
            wall_s = in_s if seen.shift is None else seen.shift.wall_s(in_s)
            when = f"from {clock(seen.weekday, seen.second_of_day, wall_s)}"
        what = "Sharing again" if self._profile is Profile.PAUSED else profile.word.capitalize()
        # More than while somebody is there comes only to a desktop whose person stays away.
        up = profile > max(self._profile, wanted.while_present)
        away = " if you stay away" if up and wanted.role is Role.DESKTOP else ""
        return f"{what} {when}{away}"

    def _lifts(self) -> str:
        pairs = zip(self._memory.held, self._findings, strict=True)
        for held, finding in sorted(pairs, key=lambda pair: pair[0].ceiling):
            if finding.lifts and (held.ceiling <= self._profile or self._preferences.drain):
                return said(finding.lifts)
        return ""


def _at_ease(reason: Reason) -> bool:
    return reason.ceiling is Profile.AGGRESSIVE
