"""A tiny model for the batcher: the next token depends on the tokens before it alone. It checks how it is driven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from gogrid_desktop.core.profiles import Limits
from gogrid_desktop.protocol.grid import Have, Job, JobKind, Priority, SamplingParams
from gogrid_desktop.worker import messages as w
from gogrid_desktop.worker.batcher import Batcher, Decoded, Row
from gogrid_desktop.worker.limits import Pace
from gogrid_desktop.worker.sampling import Logits
from gogrid_desktop.worker.sequence import JobSequence

END = 0
PIECES = (b"", b"a", b"b", b" E", b"N", b"D", b"\xf0\x9f", b"\x99\x82", "é".encode(), b"\n", b"\xff", b"END")
OPEN_LIMITS = Limits(1.0, 1.0, 16, 0, 2, 4, 0)


@dataclass
class FakeEngine:
    slots: int = 4
    total_context: int = 1000
    end_weight: float = -1.0
    outcomes: list[Decoded] = field(default_factory=list)  # of the next steps; DONE after them
    poison: int | None = None  # a step with this token fails
    broken: int | None = None  # the logits after this token are no numbers
    batches: list[list[Row]] = field(default_factory=list)
    cache: dict[int, list[int]] = field(default_factory=dict)
    _rows: list[Row] = field(default_factory=list)

    def decode(self, rows: Sequence[Row]) -> Decoded:
        self.batches.append(list(rows))
        self._rows = list(rows)
        outcome = self.outcomes.pop(0) if self.outcomes else Decoded.DONE
        for row in rows:
            cells = self.cache.setdefault(row.slot, [])
            assert row.position == len(cells), "a hole or an overlap in the cache"
            cells.append(row.token)
            if row.token == self.poison:
                outcome = Decoded.FAILED
            if outcome is not Decoded.DONE:
                break  # what was written so far stays, as in llama.cpp
        assert sum(map(len, self.cache.values())) <= self.total_context
        return outcome

    def logits(self, row: int) -> Logits:
        wanted = self._rows[row]
        assert wanted.logits, "logits of a row that did not ask for them"
        before = self.cache[wanted.slot][: wanted.position + 1]
        if before[-1] == self.broken:
            return np.full(len(PIECES), np.nan, dtype=np.float32)
        digest = blake2b(bytes(before), digest_size=len(PIECES)).digest()
        values = np.frombuffer(digest, dtype=np.uint8).astype(np.float32) / 64
        values[END] += self.end_weight
        return values

    def forget(self, slot: int, position: int) -> None:
        del self.cache.setdefault(slot, [])[position:]

    def ends(self, token: int) -> bool:
        return token == END


class Bench:
    """A batcher on the fake engine with the frames it said; time stands still unless a test moves it."""

    def __init__(self, engine: FakeEngine | None = None, limits: Limits = OPEN_LIMITS) -> None:
        self.engine = engine or FakeEngine()
        self.pace = Pace()
        self.pace.limits = limits
        self.frames: list[w.Frame] = []
        self.now_s = 0.0
        self.batcher = Batcher(self.engine, self.pace, lambda _job, frame: self.frames.append(frame))

    def submit(self, job: JobSequence, priority: Priority = Priority.NORMAL) -> None:
        self.batcher.submit(job, priority)

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.batcher.step(self.now_s)

    def finish(self) -> None:
        for _ in range(10_000):
            if not len(self.batcher):
                return
            self.step()
        raise AssertionError("the jobs never end")

    def told(self, lease: str) -> Told:
        return Told([frame for frame in self.frames if getattr(frame, "lease", None) == lease])


@dataclass
class Told:
    """What a worker said of one lease."""

    frames: list[w.Frame]

    @property
    def tokens(self) -> tuple[int, ...]:
        return tuple(t for f in self.frames if isinstance(f, w.Emitted) for t in f.chunk.token_ids)

    @property
    def text(self) -> str:
        return "".join(f.chunk.text for f in self.frames if isinstance(f, w.Emitted))

    @property
    def finished(self) -> w.Finished:
        (frame,) = [f for f in self.frames if isinstance(f, w.Finished)]
        return frame

    def check_counters(self, have: Have) -> None:
        """Every chunk begins where the one before it ended, and the totals say so."""
        tokens, size = have.tokens, have.bytes
        for frame in self.frames:
            if isinstance(frame, w.Emitted):
                assert (frame.chunk.tokens_before, frame.chunk.bytes_before) == (tokens, size)
                tokens += len(frame.chunk.token_ids)
                size += len(frame.chunk.text.encode())
            if isinstance(frame, w.Finished):
                assert (frame.tokens, frame.bytes) == (tokens, size)


def job(
    lease: str = "lease",
    prompt: Sequence[int] = (1, 2, 3),
    *,
    max_tokens: int = 20,
    token_ids: tuple[int, ...] = (),
    have_bytes: int = 0,
    **params: object,
) -> JobSequence:
    start = w.Start(
        lease=lease,
        fence=1,
        job=Job(
            id=f"job-{lease}",
            kind=JobKind.COMPLETION,
            model="a" * 64,
            rendered_at=0,
            deadline=0,
            params=SamplingParams.model_validate({"max_tokens": max_tokens, **params}),
            token_ids=token_ids,
            have=Have(tokens=len(token_ids), bytes=have_bytes),
        ),
    )
    return JobSequence(start, prompt, max_tokens, PIECES.__getitem__)
