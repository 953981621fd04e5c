"""Counting what was lost: the workers' own counts, the coordinator's ledger and what the client got, held side by side.

A token is lost if its position is missing from the ledger, is there twice, or was never made by a worker under the
fence that it was taken with. Two lives of a worker may have made the same position: only what the ledger took counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Made:
    """A worker's word: under this fence it made `count` tokens of the job from position `start` on."""

    job: str
    fence: int
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Taken:
    """The ledger's word: it took these tokens and bytes under this fence."""

    job: str
    fence: int
    start: int
    count: int
    bytes_before: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A job's totals, and how many bytes of text the client received (None: not looked at)."""

    job: str
    tokens: int
    bytes: int
    received_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """`bytes_off`: bytes that differ between chunks, totals and client. `findings`: a line for each job that is off."""

    tokens_checked: int = 0
    missing: int = 0
    doubled: int = 0
    unmade: int = 0
    bytes_off: int = 0
    tokens_lost: int = 0
    findings: tuple[str, ...] = ()


def audit(made: Iterable[Made], ledger: Iterable[Taken], answers: Iterable[Answer]) -> Audit:
    """Hold all jobs of `answers` to account, and whatever the ledger has beside them.

    `tokens_lost` is the sum of missing, doubled and unmade positions; a job of which only bytes differ counts one.
    """
    made_of: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for one in made:
        made_of[one.job, one.fence].append((one.start, one.start + one.count))
    taken_of: dict[str, list[Taken]] = defaultdict(list)
    for taken in ledger:
        taken_of[taken.job].append(taken)
    told = {answer.job: answer for answer in answers}
    checked = missing = doubled = unmade = bytes_off = lost = 0
    findings = []
    for job in sorted(told.keys() | taken_of.keys()):
        answer, chunks = told.get(job, Answer(job, 0, 0)), taken_of[job]
        gaps, twice = _positions(chunks, answer.tokens)
        alien = sum(chunk.count - _covered(chunk, made_of[job, chunk.fence]) for chunk in chunks)
        off = _bytes_off(chunks, answer)
        checked += answer.tokens
        missing, doubled, unmade, bytes_off = missing + gaps, doubled + twice, unmade + alien, bytes_off + off
        lost += max(gaps + twice + alien, 1 if off else 0)
        if gaps or twice or alien or off:
            findings.append(f"{job}: {gaps} missing, {twice} doubled, {alien} made by no worker, {off} bytes off")
    return Audit(checked, missing, doubled, unmade, bytes_off, lost, tuple(findings))


def _positions(chunks: list[Taken], total: int) -> tuple[int, int]:
    """How many of the positions 0..total are in no chunk, and how many are there twice or beyond."""
    missing = doubled = reached = 0
    for chunk in sorted(chunks, key=lambda chunk: (chunk.start, chunk.bytes_before)):
        missing += max(0, chunk.start - reached)
        doubled += max(0, min(reached, chunk.start + chunk.count) - chunk.start)
        reached = max(reached, chunk.start + chunk.count)
    return missing + max(0, total - reached), doubled + max(0, reached - total)


def _covered(chunk: Taken, spans: list[tuple[int, int]]) -> int:
    """How many positions of a chunk lie in at least one of the spans."""
    covered, reached, end = 0, chunk.start, chunk.start + chunk.count
    for begin, stop in sorted(spans):
        begin, stop = max(begin, reached), min(stop, end)
        if stop > begin:
            covered, reached = covered + stop - begin, stop
    return covered


def _bytes_off(chunks: list[Taken], answer: Answer) -> int:
    off = reached = 0
    for chunk in sorted(chunks, key=lambda chunk: (chunk.start, chunk.bytes_before)):
        off += abs(chunk.bytes_before - reached)
        reached = chunk.bytes_before + chunk.bytes
    off += abs(answer.bytes - reached)
    return off + (0 if answer.received_bytes is None else abs(answer.received_bytes - answer.bytes))
