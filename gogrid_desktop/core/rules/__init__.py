"""The rules: each looks at what it knows and returns a ceiling with a sentence.

A rule never raises what another one allows. It says for itself what it does when it knows nothing, for how long its
cause must be gone before it lifts (`hold_s`), and when time alone could change its mind. Sentences are written to
follow a headline and a colon: no capital, no full stop. They are made when they are read, for a decision is made many
times more often than it is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from gogrid_desktop.core.activity import Activity, Preferences, Role
from gogrid_desktop.core.profiles import Limits, Profile

Words = str | Callable[[], str]


class Finding(NamedTuple):
    """What one rule says now.

    `ceiling` AGGRESSIVE means no objection. `lifts`: what would lift it, when time does not. `limits` only where a
    ceiling is no named point; `share`: the most of the time that may be used, 0..1, and `regain`: what a lower share
    may rise to, somewhat less, so that what we do ourselves does not make it swing. `clear_s`: for how long the cause
    has been gone already, where the rule can tell; `changes_in_s`: seconds until time alone could change the finding
    (inf: never). `accepts`: new work is welcome. `unload`: somebody needs the memory at once.
    """

    ceiling: Profile
    sentence: Words
    lifts: Words = ""
    limits: Limits | None = None
    share: float = 1.0
    regain: float = 1.0
    clear_s: float = 0.0
    changes_in_s: float = math.inf
    accepts: bool = True
    unload: bool = False


class Free(Finding):
    """No objection at all, which time alone does not change: what most rules say most of the time."""

    __slots__ = ()


def free(sentence: str) -> Finding:
    return Free(Profile.AGGRESSIVE, sentence)


def said(words: Words) -> str:
    return words if isinstance(words, str) else words()


@dataclass(frozen=True, slots=True)
class Rule:
    """`judge` gets what was sensed, what is wanted, now, and the ceiling that it keeps up; `hold_s` the first two.

    `hard`: holds although the person says "share anyway". `quiet`: has something to say only when it pauses.
    """

    name: str
    judge: Callable[[Activity, Preferences, float, Profile], Finding]
    hold_s: Callable[[Activity, Preferences], float]
    hard: bool = False
    quiet: bool = False
    roles: tuple[Role, ...] = (Role.DESKTOP, Role.SERVER)


def seconds(hold_s: float) -> Callable[[Activity, Preferences], float]:
    """A hold that is always the same."""
    return lambda _activity, _preferences: hold_s
