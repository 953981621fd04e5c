"""Keeping jobs: a request ends in the same transaction in which the last of its jobs does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from gogrid_desktop.coordinator.store.port import Ahead, Tx
from gogrid_desktop.coordinator.store.records import JobRecord, RequestRecord


@dataclass(frozen=True, slots=True)
class Kept:
    """Requests of which jobs have changed, and those of which one has ended."""

    changed: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()


NOTHING = Kept()


def keep(tx: Tx, changed: Iterable[JobRecord], now: float) -> Kept:
    """Put these jobs, and end what has ended with them.

    A job that has ended may be among them only in the transaction in which it ends.
    """
    jobs = list(changed)
    tx.put(*jobs)
    ended = Counter(job.request for job in jobs if job.state.ended)
    for request in tx.find(RequestRecord, id=ended) if ended else ():
        left = request.left - ended[request.id]
        tx.put(replace(request, left=left, ended_at=None if left else now))
    return Kept(frozenset(job.request for job in jobs), frozenset(ended))


def ending(jobs: Iterable[str]) -> Ahead:
    """What `keep` asks for when these jobs (by id) may end."""
    return Ahead(RequestRecord, "id", frozenset(request_of(job) for job in jobs))


def request_of(job: str) -> str:
    """The id of the request that a job belongs to."""
    return job.rpartition(".")[0]
