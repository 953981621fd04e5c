"""How scarce memory is, in four levels, and what is given up at each: the memory governor without its hands.

It looks at what *others* use and at what we were granted, never at what we happen to use: our own growth within a plan
cannot raise the level, and giving memory up cannot lower it, so that an answer never undoes its own cause. Worse at
once; better one level at a time, each after its hold. The same rules serve main memory and each GPU. Bytes throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

#: Room left, in reserves, below which a level begins (the reserve is what a plan leaves free for the desktop).
CRITICAL_BELOW = 0.25
HIGH_BELOW = 0.5
LOW_FROM = 2.0
#: To get better, the room must be so much larger than where the level began, for so long.
EASED = 1.25
HOLD_S = 60.0
#: Unloaded for so long and still scarce: what was wanted then is forgotten, and a plan may look for something smaller.
FORGET_S = 300.0
#: Share of the last ten seconds in which every process waited for memory (Linux PSI, "full avg10").
STALLED = 0.10


class Level(IntEnum):
    LOW = 0  # plenty
    NORMAL = 1
    HIGH = 2
    CRITICAL = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Reading:
    """One memory at one moment. `used_bytes` by everybody, `own_bytes` of it by our workers, which were granted
    `granted_bytes`; `reserve_bytes` are to stay free; `stalled`: share of time lost to waiting for memory, 0..1."""

    total_bytes: int
    used_bytes: int
    own_bytes: int
    granted_bytes: int
    reserve_bytes: int
    stalled: float = 0.0

    @property
    def foreign_bytes(self) -> int:
        """What others use."""
        return max(0, self.used_bytes - self.own_bytes)

    def room_bytes(self, granted_bytes: int) -> int:
        """What would be left if our workers took this grant to the full; negative where it does not fit."""
        return self.total_bytes - self.foreign_bytes - granted_bytes


@dataclass(frozen=True, slots=True)
class Pressure:
    """The level of one memory, and what must be remembered of it.

    `wanted_bytes`: the grant before memory became scarce: the level falls when that would fit again. `easing_since`:
    when the room began to be enough for a better level; `bare_since`: when nothing was granted any more. `shrink`: what
    is granted now does not fit any more.
    """

    level: Level = Level.NORMAL
    wanted_bytes: int = 0
    easing_since: float | None = None
    bare_since: float | None = None
    shrink: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What to do at a level: hold at most `slots` sequences, keep finished `prefixes`, take on `more` models, `shrink`
    (a shorter context, or unload)."""

    slots: int
    prefixes: bool
    more: bool
    shrink: bool


def assess(before: Pressure, reading: Reading, now: float) -> Pressure:
    """The pressure now. `now` in seconds of a clock that never goes back. What we want nothing of is never scarce."""
    scarce = before.level >= Level.HIGH
    wanted = max(before.wanted_bytes, reading.granted_bytes) if scarce else reading.granted_bytes
    bare_since = None if reading.granted_bytes else (now if before.bare_since is None else before.bare_since)
    if not wanted or (bare_since is not None and now - bare_since >= FORGET_S):
        return Pressure(bare_since=bare_since)
    level, easing_since = before.level, None
    room = reading.room_bytes(wanted)
    if _level(reading, room) > level:
        level = _level(reading, room)
    elif _level(reading, room / EASED) < level:
        easing_since = now if before.easing_since is None else before.easing_since
        if now - easing_since >= HOLD_S:
            level, easing_since = Level(level - 1), now
    granted = reading.granted_bytes
    shrink = bool(granted) and level is Level.CRITICAL and _level(reading, reading.room_bytes(granted)) is level
    return Pressure(level, wanted, easing_since, bare_since, shrink)


def answer(pressures: Sequence[Pressure], slots: int) -> Answer:
    """What the worst of all memories asks of a node that may hold `slots` sequences."""
    level = max((pressure.level for pressure in pressures), default=Level.LOW)
    scarce = level >= Level.HIGH
    return Answer(
        slots=max(1, slots // 2) if scarce and slots else slots,
        prefixes=not scarce,
        more=not scarce,
        shrink=any(pressure.shrink for pressure in pressures),
    )


def _level(reading: Reading, room: float) -> Level:
    """The level of a room, without memory of what was before. Stalls make scarce memory critical, never plenty scarce:
    our own reading of a model from the disk can stall the machine too."""
    reserve = reading.reserve_bytes
    if room < reserve * CRITICAL_BELOW or room < 0:
        return Level.CRITICAL
    if room < reserve * HIGH_BELOW:
        return Level.CRITICAL if reading.stalled >= STALLED else Level.HIGH
    return Level.LOW if room >= reserve * LOW_FROM else Level.NORMAL
