"""Keeping jobs: a request ends in the same transaction in which the last of its jobs does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gogrid_desktop.coordinator.store.port import Tx
from gogrid_desktop.coordinator.store.records import JobRecord, RequestRecord


def keep(tx: Tx, changed: Iterable[JobRecord], now: float) -> set[str]:
    """Put these jobs, and end what has ended with them. Returns the ids of their requests."""
    jobs = list(changed)
    tx.put(*jobs)
    touched = {job.request for job in jobs if job.state.ended}
    still_open = (
        {job.request for job in tx.find(JobRecord, request=touched) if not job.state.ended} if touched else set()
    )
    for request in tx.find(RequestRecord, id=touched - still_open) if touched else ():
        if request.ended_at is None:
            tx.put(replace(request, ended_at=now))
    return {job.request for job in jobs}
