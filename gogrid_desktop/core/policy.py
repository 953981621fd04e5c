"""How much to give, decided purely: a meet of ceilings, down at once, up slowly.

Every rule returns a ceiling; the decision is the least of them, and the reasons are all of them in order of severity.
Down happens at once. Up happens one named step per 30 s, and only after the rule's hold; a rule that trips again within
5 min of lifting doubles its hold. The one exception is the person's own switch: back on, or no longer finishing, lifts
at once. What must be remembered between two decisions is the frozen `Memory`, handed from one to the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from gogrid_desktop.core.activity import Activity, Preferences, Role
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Limits, Profile
from gogrid_desktop.core.rules import RULES, Finding, Rule, clock, in_words
from gogrid_desktop.core.status import Reason

STEP_UP_S = 30.0
TRIPS_AGAIN_S = 300.0
LONGEST_HOLD_S = 1800.0

#: These have something to say only when they pause; otherwise "you have been away" is the better first reason.
_PAUSE_ONLY = ("switch", "drain", "power", "screen")

_HEADLINES = {
    Profile.PAUSED: "Paused",
    Profile.CONSERVATIVE: "Sharing gently",
    Profile.BALANCED: "Sharing",
    Profile.AGGRESSIVE: "Sharing fully",
}


@dataclass(frozen=True, slots=True)
class Held:
    """What is remembered of one rule: the ceiling that it keeps up, and its hold.

    `free_since`: when the cause went away, while the hold still runs. `doublings` of the hold so far.
    """

    rule: str
    ceiling: Profile
    free_since: float | None = None
    lifted_at: float = -math.inf
    doublings: int = 0

    def hold_s(self, base_s: float) -> float:
        return max(base_s, min(base_s * 2.0**self.doublings, LONGEST_HOLD_S))


@dataclass(frozen=True, slots=True)
class Memory:
    """What one decision leaves to the next. `profile` None: nothing was decided yet."""

    profile: Profile | None = None
    raised_at: float = -math.inf
    off_until: float = -math.inf
    held: tuple[Held, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """How much to give now, and why.

    `reasons` are all ceilings, the one that binds first; `reason` is its sentence, written to follow `headline` and a
    colon. `next_check`: the earliest moment, on the clock of `now`, at which time alone could change it (inf: never).
    """

    profile: Profile
    limits: Limits
    reasons: tuple[Reason, ...]
    accept_leases: bool
    next_check: float
    what_next: str
    memory: Memory
    headline: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Step:
    """A decision before it is put into words."""

    profile: Profile
    target: Profile
    findings: tuple[tuple[Held, Finding], ...]
    next_check: float
    memory: Memory


def decide(activity: Activity, preferences: Preferences, memory: Memory, now: float) -> Decision:
    """Decide. `now` in seconds of one clock that never goes back; the result's `memory` belongs to the next call."""
    step = _step(activity, preferences, memory, now)
    reasons = _reasons(step, preferences, now)
    limits = PROFILE_LIMITS[step.profile]
    for _, finding in step.findings:
        if finding.limits is not None:
            limits = limits.meet(finding.limits)
    finishing = preferences.drain and step.profile > Profile.PAUSED
    return Decision(
        profile=step.profile,
        limits=limits,
        reasons=reasons,
        accept_leases=step.profile > Profile.PAUSED and not preferences.drain,
        next_check=step.next_check,
        what_next=_what_next(step, activity, preferences, now),
        memory=step.memory,
        headline="Finishing" if finishing else _HEADLINES[step.profile],
        reason=reasons[0].sentence,
    )


def _step(activity: Activity, preferences: Preferences, memory: Memory, now: float) -> _Step:
    remembered = {held.rule: held for held in memory.held}
    findings: list[tuple[Held, Finding]] = []
    checks: list[float] = []
    for rule in RULES:
        if preferences.role not in rule.roles:
            continue
        finding = rule.judge(activity, preferences, now)
        held = _hold(remembered.get(rule.name), rule, finding, preferences, now)
        findings.append((held, finding))
        checks.append(now + finding.changes_in_s)
        if held.free_since is not None:
            checks.append(held.free_since + held.hold_s(rule.hold_s(preferences)))
    target = min(held.ceiling for held, _ in findings)
    off_until = _off_until(preferences)
    resumed = memory.off_until > now >= off_until
    profile, raised_at = _climb(target, preferences.role, memory, now, resumed=resumed)
    if profile < target:
        checks.append(raised_at + STEP_UP_S)
    remember = Memory(profile, raised_at, off_until, tuple(held for held, _ in findings))
    return _Step(profile, target, tuple(findings), min(checks), remember)


def _hold(before: Held | None, rule: Rule, finding: Finding, preferences: Preferences, now: float) -> Held:
    """Lower at once; higher once the cause has been gone for the hold."""
    if before is None:
        return Held(rule.name, finding.ceiling)
    if finding.ceiling < before.ceiling:
        again = now - before.lifted_at <= TRIPS_AGAIN_S
        # 2^20 is past every hold; the bound keeps a long life from growing the exponent for ever.
        return Held(rule.name, finding.ceiling, None, before.lifted_at, min(before.doublings + 1, 20) if again else 0)
    if finding.ceiling == before.ceiling:
        return replace(before, free_since=None)
    free_since = now - finding.clear_s
    if before.free_since is not None:
        free_since = min(free_since, before.free_since)
    if now >= free_since + before.hold_s(rule.hold_s(preferences)):
        return replace(before, ceiling=finding.ceiling, free_since=None, lifted_at=now)
    return replace(before, free_since=free_since)


def _off_until(preferences: Preferences) -> float:
    if not preferences.sharing or preferences.drain:
        return math.inf
    return -math.inf if preferences.snooze_until is None else preferences.snooze_until


def _climb(target: Profile, role: Role, memory: Memory, now: float, *, resumed: bool) -> tuple[Profile, float]:
    """The profile, and when it was raised last."""
    if memory.profile is None:
        # A desktop starts gently: what was there before us is not known yet.
        return (target if role is Role.SERVER else min(target, Profile.CONSERVATIVE)), now
    if target <= memory.profile:
        return target, memory.raised_at
    if resumed:
        return target, now
    if now >= memory.raised_at + STEP_UP_S:
        return Profile(memory.profile + 1), now
    return memory.profile, memory.raised_at


def _reasons(step: _Step, preferences: Preferences, now: float) -> tuple[Reason, ...]:
    holds_s = {rule.name: rule.hold_s(preferences) for rule in RULES}
    reasons = []
    for held, finding in step.findings:
        sentence = finding.sentence
        if held.free_since is not None:
            left_s = held.free_since + held.hold_s(holds_s[held.rule]) - now
            sentence = f"{sentence}, held for another {in_words(left_s)}"
        reasons.append(Reason(held.rule, held.ceiling, sentence))
    reasons.sort(key=lambda reason: (reason.ceiling, reason.ceiling > Profile.PAUSED and reason.rule in _PAUSE_ONLY))
    if step.profile < step.target:
        slowly = f"going up one step at a time, to {step.target.word}"
        reasons.insert(0, Reason("climb", step.profile, slowly))
    if preferences.drain and step.profile > Profile.PAUSED:
        # Not the least ceiling, but what the person asked for and waits for.
        reasons.sort(key=lambda reason: reason.rule != "drain")
    return tuple(reasons)


def _what_next(step: _Step, activity: Activity, preferences: Preferences, now: float) -> str:
    """One sentence: the first change of profile that time alone brings, otherwise what would bring one."""
    ahead, at, later = step, now, activity
    # Enough for every snooze end, hold, step up and change of the grid that can come before the profile moves.
    for _ in range(16):
        if math.isinf(ahead.next_check):
            break
        # A millisecond past the moment, so that rounding cannot leave us just before it.
        at, before = ahead.next_check + 0.001, at
        later = later.after(at - before)
        ahead = _step(later, preferences, ahead.memory, at)
        if ahead.profile != step.profile:
            in_s = at - now
            when = f"in {in_words(round(in_s, 1))}" if in_s < 3600 else f"from {clock(activity, in_s)}"
            what = "Sharing again" if step.profile is Profile.PAUSED else ahead.profile.word.capitalize()
            # More than while somebody is there comes only to a desktop whose person stays away.
            up = ahead.profile > max(step.profile, preferences.while_present)
            away = " if you stay away" if up and preferences.role is Role.DESKTOP else ""
            return f"{what} {when}{away}"
    for held, finding in sorted(step.findings, key=lambda pair: pair[0].ceiling):
        if finding.lifts and (held.ceiling <= step.profile or preferences.drain):
            return finding.lifts
    return "Stays so"
