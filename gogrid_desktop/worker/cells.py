"""Who holds which sequence of the KV cache: the jobs that run, and the prefixes that finished ones left behind.

A job that begins with what a sequence holds already (the same system prompt, the chat so far) goes on from there. Only
sequences of the same salt are looked at: one account never learns from the speed of an answer what another one asked.
Prefixes stay until their room is needed; the one that was of use longest ago goes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Protocol

import numpy as np

from gogrid_desktop.worker.engine import Engine, Tokens

#: A shorter beginning is not worth a copy.
LEAST_SHARED = 16


class Holder(Protocol):
    """Whose tokens a sequence holds: of `tokens` the first `cached`. An empty `salt` shares with nobody."""

    salt: str
    cached: int

    @property
    def tokens(self) -> Tokens: ...


@dataclass(slots=True)
class Prefix:
    """What a finished sequence left behind."""

    salt: str
    tokens: Tokens
    cached: int
    used: int


class Cells:
    """The sequences of one engine."""

    def __init__(self, engine: Engine) -> None:
        self.keeps = True
        self._engine = engine
        self._running: dict[int, Holder] = {}
        self._prefixes: dict[int, Prefix] = {}
        self._clock = count()

    @property
    def prefix_tokens(self) -> int:
        """Positions that prefixes hold (what two of them share counts for each)."""
        return sum(prefix.cached for prefix in self._prefixes.values())

    def place(self, job: Holder) -> tuple[int, int]:
        """A sequence for this job: its number, and how many of the job's tokens it holds already."""
        source, length = self._best(job)
        if source is not None and source in self._prefixes and length == self._prefixes[source].cached:
            slot = source  # nobody else loses anything: it goes on where the prefix ended
            del self._prefixes[slot]
        else:
            slot = self._free()
            if slot == source:
                length = self._engine.forget(slot, length)
            else:
                self._engine.forget(slot, 0)
                if source is not None:
                    self._engine.copy(source, slot, length)
                    if source in self._prefixes:
                        self._prefixes[source].used = next(self._clock)
        self._running[slot] = job
        return slot, length

    def spare(self) -> int:
        """A sequence that nothing is in."""
        slot = self._free()
        self._engine.forget(slot, 0)
        return slot

    def coming(self, job: Holder, beside: set[int]) -> bool:
        """Whether it is worth waiting: one of the sequences `beside` is reading what this job begins with."""
        if not self._engine.cuts:
            return False
        here = self._best(job)[1]
        return any(
            holder is not job
            and holder.cached < len(holder.tokens) - 1
            and self._shared(job, holder, len(holder.tokens)) >= max(here, holder.cached) + LEAST_SHARED
            for slot, holder in self._running.items()
            if slot in beside
        )

    def release(self, slot: int, *, keep: bool) -> None:
        """The job of this sequence has gone; what it read stays if it may be of use."""
        job = self._running.pop(slot)
        if keep and self.keeps and job.salt and job.cached >= LEAST_SHARED:
            self._prefixes[slot] = Prefix(job.salt, job.tokens[: job.cached].copy(), job.cached, next(self._clock))
        else:
            self._engine.forget(slot, 0)

    def evict(self) -> bool:
        """Give up the prefix that was of use longest ago; False when there is none."""
        if not self._prefixes:
            return False
        slot = self._oldest()
        del self._prefixes[slot]
        self._engine.forget(slot, 0)
        return True

    def evict_all(self) -> None:
        while self.evict():
            continue

    def _oldest(self) -> int:
        return min(self._prefixes, key=lambda slot: self._prefixes[slot].used)

    def _free(self) -> int:
        """A number that nothing runs in; one that holds a prefix only when there is no other."""
        taken = self._running.keys() | self._prefixes.keys()
        slot = next((n for n in range(self._engine.sequences) if n not in taken), None)
        if slot is None:
            slot = self._oldest()
            del self._prefixes[slot]
        return slot

    def _best(self, job: Holder) -> tuple[int | None, int]:
        """The sequence that holds most of what this job begins with."""
        best: tuple[int | None, int] = (None, 0)
        for slot, holder in (*self._running.items(), *self._prefixes.items()):
            length = 0 if holder is job else self._shared(job, holder, holder.cached)
            if not self._engine.cuts and (slot in self._running or length < holder.cached):
                continue
            if length >= LEAST_SHARED and length > best[1]:
                best = slot, length
        return best

    @staticmethod
    def _shared(job: Holder, other: Holder, length: int) -> int:
        """Tokens at the beginning that both have, of the other's first `length`. The job's last is always computed."""
        if not job.salt or job.salt != other.salt:
            return 0
        length = min(length, len(job.tokens) - 1)
        differ = job.tokens[:length] != other.tokens[:length]
        return int(np.argmax(differ)) if differ.any() else length
