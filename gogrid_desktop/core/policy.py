"""How much to give, decided purely: a meet of ceilings, down at once, up slowly.

Every rule returns a ceiling; the decision is the least of them, and the reasons are all of them in order of severity.
Down happens at once. Up happens one named step per 30 s, and only after the rule's hold; a rule that trips again within
5 min of lifting doubles its hold. The share of time that rules ask for falls at once too, and recovers by a tenth every
5 s. The exceptions are what the person says: switched back on, no longer finishing, or "share anyway" lift at once.
What must be remembered between two decisions is the frozen `Memory`, handed from one to the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from gogrid_desktop.core.activity import Activity, Preferences, Role
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Limits, Profile
from gogrid_desktop.core.rules import Finding, Free, Rule
from gogrid_desktop.core.rules.table import RULES_OF
from gogrid_desktop.core.sentences import Sentences
from gogrid_desktop.core.status import Reason

STEP_UP_S = 30.0
TRIPS_AGAIN_S = 300.0
LONGEST_HOLD_S = 1800.0
#: The share of time counts in twentieths, and comes back by so much at a time.
SHARE_STEP, SHARE_STEP_S = 0.10, 5.0

# Looked up at every rule of every decision: a member of an enum costs more than the comparison.
_MOST = Profile.AGGRESSIVE


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
    """What one decision leaves to the next. `profile` None: nothing was decided yet. `held`: of `role`'s rules."""

    profile: Profile | None = None
    raised_at: float = -math.inf
    share: float = 1.0
    share_raised_at: float = -math.inf
    off_until: float = -math.inf
    anyway: bool = False
    role: Role | None = None
    held: tuple[Held, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """How much to give now, and why.

    `next_check`: the earliest moment, on the clock of `now`, at which time alone could change it (inf: never).
    `accept_leases`: new work is welcome. `unload`: the memory is wanted back at once. `target`: what it climbs to.
    """

    profile: Profile
    limits: Limits
    accept_leases: bool
    unload: bool
    next_check: float
    target: Profile
    memory: Memory
    _words: Sentences = field(repr=False, compare=False)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """All ceilings, the one that binds first."""
        return self._words.reasons

    @property
    def reason(self) -> str:
        """The sentence of what binds, written to follow `headline` and a colon."""
        return self._words.reasons[0].sentence

    @property
    def headline(self) -> str:
        return self._words.headline

    @property
    def what_next(self) -> str:
        """One sentence: the first change of profile that time alone brings, otherwise what would bring one."""
        return self._words.what_next


def decide(activity: Activity, preferences: Preferences, memory: Memory, now: float) -> Decision:
    """Decide. `now` in seconds of one clock that never goes back; the result's `memory` belongs to the next call."""
    rules = RULES_OF[preferences.role]
    anyway = preferences.anyway_until is not None and preferences.anyway_until > now
    next_check = preferences.anyway_until if anyway and preferences.anyway_until is not None else math.inf
    target, share, regain, limits, accepts, unload = _MOST, 1.0, 1.0, None, True, False
    known = memory.held if memory.role is preferences.role else _matched(memory.held, rules)
    helds: list[Held] = []
    findings: list[Finding] = []
    for rule, before in zip(rules, known, strict=True):
        finding = rule.judge(activity, preferences, now, _MOST if before is None else before.ceiling)
        if finding.__class__ is Free and before is not None and before.ceiling is _MOST:
            helds.append(before)
            findings.append(finding)
            continue
        ceiling, _, _, own_limits, own_share, own_regain, _, changes_in_s, own_accepts, own_unload = finding
        if before is not None and ceiling is before.ceiling and before.free_since is None:
            held = before
        else:
            held = _hold(before, rule, finding, activity, preferences, now)
            if held.free_since is not None:
                next_check = min(next_check, held.free_since + held.hold_s(rule.hold_s(activity, preferences)))
        helds.append(held)
        findings.append(finding)
        if now + changes_in_s < next_check:
            next_check = now + changes_in_s
        if anyway and not rule.hard:
            continue
        if held.ceiling < target:
            target = held.ceiling
        if own_share < share:
            share = own_share
        if own_regain < regain:
            regain = own_regain
        if own_limits is not None:
            limits = own_limits if limits is None else limits.meet(own_limits)
        accepts = accepts and own_accepts
        unload = unload or own_unload
    off_until = _off_until(preferences)
    at_once = memory.off_until > now >= off_until or (anyway and not memory.anyway)
    profile, raised_at = _climb(target, preferences.role, memory, now, at_once=at_once)
    if profile < target:
        next_check = min(next_check, raised_at + STEP_UP_S)
    share, share_raised_at, more_at = _share(_twentieths(share), _twentieths(regain), memory, now)
    remember = Memory(profile, raised_at, share, share_raised_at, off_until, anyway, preferences.role, tuple(helds))
    given = PROFILE_LIMITS[profile]
    if limits is not None:
        given = given.meet(limits)
    if share < given.compute_share:
        given = replace(given, compute_share=share)
    return Decision(
        profile,
        given,
        accepts and profile > Profile.PAUSED,
        unload,
        min(next_check, more_at),
        target,
        remember,
        Sentences(activity, preferences, now, profile, target, rules, findings, remember, decide),
    )


def _matched(held: tuple[Held, ...], rules: tuple[Rule, ...]) -> tuple[Held | None, ...]:
    """What is remembered of these rules, after the role has changed."""
    by_name = {one.rule: one for one in held}
    return tuple(by_name.get(rule.name) for rule in rules)


def _hold(
    before: Held | None, rule: Rule, finding: Finding, activity: Activity, preferences: Preferences, now: float
) -> Held:
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
    if now >= free_since + before.hold_s(rule.hold_s(activity, preferences)):
        return replace(before, ceiling=finding.ceiling, free_since=None, lifted_at=now)
    return replace(before, free_since=free_since)


def _off_until(preferences: Preferences) -> float:
    if not preferences.sharing or preferences.drain or preferences.until_away:
        return math.inf
    return -math.inf if preferences.snooze_until is None else preferences.snooze_until


def _climb(target: Profile, role: Role, memory: Memory, now: float, *, at_once: bool) -> tuple[Profile, float]:
    """The profile, and when it was raised last."""
    if memory.profile is None:
        # A desktop starts gently: what was there before us is not known yet.
        return (target if role is Role.SERVER else min(target, Profile.CONSERVATIVE)), now
    if target <= memory.profile:
        return target, memory.raised_at
    if at_once:
        return target, now
    if now >= memory.raised_at + STEP_UP_S:
        return Profile(memory.profile + 1), now
    return memory.profile, memory.raised_at


def _share(share: float, regain: float, memory: Memory, now: float) -> tuple[float, float, float]:
    """The share of time, when it was raised last, and when it may be raised again (inf: it need not)."""
    if share <= memory.share:
        return share, memory.share_raised_at, math.inf
    if regain <= memory.share:
        return memory.share, memory.share_raised_at, math.inf
    if now < memory.share_raised_at + SHARE_STEP_S:
        return memory.share, memory.share_raised_at, memory.share_raised_at + SHARE_STEP_S
    risen = min(regain, memory.share + SHARE_STEP)
    return risen, now, now + SHARE_STEP_S if risen < regain else math.inf


def _twentieths(share: float) -> float:
    return math.floor(share * 20 + 1e-9) / 20
