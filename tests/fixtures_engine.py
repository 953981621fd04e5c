"""A tiny model for the batcher: the next token depends on the tokens before it alone. It checks how it is driven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import count

import numpy as np

from gogrid_desktop.core.gbnf import GrammarError
from gogrid_desktop.core.profiles import Limits
from gogrid_desktop.protocol.grid import Have, Job, JobKind, Priority, SamplingParams
from gogrid_desktop.worker import messages as w
from gogrid_desktop.worker.batcher import AnyJob, Batcher
from gogrid_desktop.worker.embedding import EmbeddingSequence
from gogrid_desktop.worker.engine import Decoded, Floats, Span
from gogrid_desktop.worker.grammar import Grammar
from gogrid_desktop.worker.limits import Pace
from gogrid_desktop.worker.sampling import Vocabulary
from gogrid_desktop.worker.sequence import JobSequence

END = 0
PIECES = (b"", b"a", b"b", b" E", b"N", b"D", b"\xf0\x9f", b"\x99\x82", "é".encode(), b"\n", b"\xff", b"END")
OPEN_LIMITS = Limits(1.0, 1.0, 16, 0, 2, 4, 0)


def no_grammar(_text: str) -> Grammar:
    raise GrammarError("this model takes no grammar")


VOCABULARY = Vocabulary(len(PIECES), lambda token: token == END, no_grammar)


@dataclass
class FakeEngine:
    """`row_s`: what a row takes on `clock_s`, which a step moves on."""

    slots: int = 4
    total_context: int = 1000
    sequences: int = 0
    most_rows: int = 64
    embed_rows: int = 8
    longest_step_s: float | None = None
    cuts: bool = True
    pools: bool = False
    aside: FakeAside | None = None
    row_s: float = 0.001
    end_weight: float = -1.0
    outcomes: list[Decoded] = field(default_factory=list)  # of the next steps; DONE after them
    poison: int | None = None  # a step with this token fails
    broken: int | None = None  # the logits after this token are no numbers
    batches: list[list[Span]] = field(default_factory=list)
    cache: dict[int, list[int]] = field(default_factory=dict)
    copies: list[tuple[int, int, int]] = field(default_factory=list)
    clock_s: float = 0.0
    _asked: list[Span] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sequences = self.sequences or self.slots
        if self.aside is not None:
            self.aside.engine = self

    @property
    def rows(self) -> list[int]:
        """Rows of each step so far."""
        return [sum(len(span.tokens) for span in spans) for spans in self.batches]

    @property
    def used(self) -> int:
        return sum(map(len, self.cache.values()))

    def decode(self, spans: Sequence[Span]) -> Decoded:
        assert spans and all(len(span.tokens) for span in spans), "an empty step"
        self.batches.append(list(spans))
        self._asked = [span for span in spans if span.ask]
        rows = self.rows[-1]
        assert rows <= self.most_rows
        if self.used + rows > self.total_context:
            return Decoded.FULL
        self.clock_s += rows * self.row_s
        outcome = self.outcomes.pop(0) if self.outcomes else Decoded.DONE
        for span in spans:
            cells = self.cache.setdefault(span.slot, [])
            assert span.slot < self.sequences
            assert span.position == len(cells), "a hole or an overlap in the cache"
            for token in map(int, span.tokens):
                cells.append(token)
                if token == self.poison:
                    outcome = Decoded.FAILED
                if outcome is not Decoded.DONE:
                    return outcome  # what was written so far stays, as in llama.cpp
        return outcome

    def logits(self, index: int) -> Floats:
        before = self.cache[self._asked[index].slot]
        if before[-1] == self.broken:
            return np.full(len(PIECES), np.nan, dtype=np.float32)
        digest = blake2b(bytes(before), digest_size=len(PIECES)).digest()
        values = np.frombuffer(digest, dtype=np.uint8).astype(np.float32) / 64
        values[END] += self.end_weight
        return values

    def embed(self, span: Span) -> tuple[Decoded, Floats | None]:
        assert self.pools or len(span.tokens) <= self.embed_rows
        outcome = self.decode([span])
        rows = np.array([[token, 1.0] for token in span.tokens], dtype=np.float32)
        return outcome, rows.sum(axis=0) if outcome is Decoded.DONE else None

    def forget(self, slot: int, position: int) -> int:
        cells = self.cache.setdefault(slot, [])
        if position < len(cells) and not self.cuts:
            position = 0
        del cells[position:]
        return position

    def copy(self, source: int, target: int, length: int) -> None:
        assert self.cuts and not self.cache.get(target) and length <= len(self.cache[source])
        self.copies.append((source, target, length))
        self.cache[target] = self.cache[source][:length]


@dataclass
class FakeAside:
    """Reads `rows_a_look` rows each time that somebody looks whether it has ended. With `fails` it reads nothing."""

    rows_a_look: int = 10
    least: int = 20
    fails: bool = False
    engine: FakeEngine | None = None
    begun: list[tuple[int, int, int]] = field(default_factory=list)  # slot, position, rows
    _tokens: list[int] = field(default_factory=list)
    _read: int = 0

    def worth(self, position: int, rows: int) -> bool:
        return rows >= self.least and not (self.fails and self.begun)

    @property
    def ended(self) -> bool:
        self._read += 0 if self.fails else self.rows_a_look
        return self.fails or self._read >= len(self._tokens)

    def begin(self, slot: int, position: int, tokens: Sequence[int]) -> None:
        assert self.engine is not None and not self._tokens, "two at a time"
        assert position == len(self.engine.cache.get(slot, [])) and len(tokens)
        self.begun.append((slot, position, len(tokens)))
        self._tokens, self._read = [int(token) for token in tokens], 0

    def end(self) -> int:
        assert self.engine is not None and self._tokens, "nothing is read"
        slot, position, _ = self.begun[-1]
        read = self._tokens[: self._read]
        assert len(self.engine.cache.get(slot, [])) == position, "the sequence was used meanwhile"
        self.engine.cache.setdefault(slot, []).extend(read)
        self._tokens = []
        return position + len(read)


class Bench:
    """A batcher on the fake engine with the frames it said; time stands still unless a test or a step moves it."""

    def __init__(
        self, engine: FakeEngine | None = None, limits: Limits = OPEN_LIMITS, *, deterministic: bool = False
    ) -> None:
        self.engine = engine or FakeEngine()
        self.pace = Pace()
        self.pace.limits = limits
        self.frames: list[w.Frame] = []
        self.now_s = 0.0
        self.batcher = Batcher(
            self.engine, self.pace, self._say, lambda: self.engine.clock_s, deterministic=deterministic
        )

    def _say(self, _job: AnyJob, frame: w.Frame | w.Emission) -> None:
        """As the agent reads it."""
        self.frames.append(w.EVENT.validate_json(w.encode(frame)))

    def submit(self, *jobs: AnyJob) -> None:
        for each in jobs:
            self.batcher.submit(each)

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


_arrivals = count()


def start(
    lease: str,
    *,
    kind: JobKind = JobKind.COMPLETION,
    max_tokens: int = 20,
    token_ids: tuple[int, ...] = (),
    have_bytes: int = 0,
    priority: Priority = Priority.NORMAL,
    deadline: float = 0,
    salt: str = "",
    **params: object,
) -> w.Start:
    return w.Start(
        lease=lease,
        fence=1,
        job=Job(
            id=f"job-{lease}",
            kind=kind,
            model="a" * 64,
            rendered_at=0,
            deadline=deadline,
            priority=priority,
            prefix_salt=salt,
            params=SamplingParams.model_validate({"max_tokens": max_tokens, **params}),
            token_ids=token_ids,
            have=Have(tokens=len(token_ids), bytes=have_bytes),
        ),
    )


def job(lease: str = "lease", prompt: Sequence[int] = (1, 2, 3), **how: object) -> JobSequence:
    """`how`: as for `start`; what is no argument of it is a sampling parameter."""
    begun = start(lease, **how)  # type: ignore[arg-type]
    limit = begun.job.params.max_tokens
    return JobSequence(begun, prompt, limit, PIECES.__getitem__, VOCABULARY, next(_arrivals))


def embedding(lease: str, text: Sequence[int], **how: object) -> EmbeddingSequence:
    return EmbeddingSequence(start(lease, kind=JobKind.EMBEDDING, **how), text, next(_arrivals))  # type: ignore[arg-type]
