"""The sweep, every 2 s: silent leases, passed deadlines, readers who left, texts whose time is over.

A sweep that finds the last one too long ago, or in the future, moves every time by that gap and expires nothing: that
the coordinator was away, or its clock was set, is nobody's fault. Every replica sweeps: what one has found is locked,
and looked at again, before it is changed.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from gogrid_desktop.coordinator.books import NOTHING, Kept, keep
from gogrid_desktop.coordinator.grid import Grid
from gogrid_desktop.coordinator.store.port import Tx
from gogrid_desktop.coordinator.store.records import JobRecord, MetaRecord, NodeRecord, RequestRecord
from gogrid_desktop.coordinator.store.unsaid import Unsaid
from gogrid_desktop.core.lease import cancel, expire, pass_deadline
from gogrid_desktop.errors import StorageError
from gogrid_desktop.protocol.grid import LEASE_S, SWEEP_S

log = logging.getLogger(__name__)

FLUSH_S = 1.0
#: A sweep this long ago means that nobody swept: three were missed.
GAP_S = 6.0


@dataclass(frozen=True, slots=True)
class Swept:
    """`gap_s`: by how much times were moved. `kept`: what changed. `leads`, `seen`, `offers`: see `Tx`; of late."""

    gap_s: float
    kept: Kept
    leads: dict[str, float]
    seen: dict[str, float]
    offers: tuple[NodeRecord, ...]


async def sweep(grid: Grid) -> Swept:
    """One round. Raises StorageError; then nothing was changed."""
    now = grid.now()
    unsaid = grid.unsaid.take()
    judges = grid.presence.may_judge(now)

    def work(tx: Tx) -> Swept:
        tx.touch(unsaid, now)
        gap_s, kept = _sweep(grid, tx, now, judges)
        since = now - 2 * GAP_S
        return Swept(gap_s, kept, tx.leads(now), tx.seen(since), tuple(tx.offered(since)))

    try:
        swept = await grid.store.write(work)
    except StorageError:
        grid.unsaid.put_back(unsaid)
        raise
    if swept.gap_s:
        log.warning("no sweep for %.1f s; leases and deadlines were moved", swept.gap_s)
        grid.presence.shift(swept.gap_s, now)
    grid.fairness.learn(swept.leads, now)
    grid.presence.learn(swept.offers)
    grid.presence.heard(swept.seen)
    grid.swept_at = now
    grid.committed(swept.kept, work=bool(swept.kept.changed or swept.gap_s))
    return swept


def _sweep(grid: Grid, tx: Tx, now: float, judges: bool) -> tuple[float, Kept]:
    """By how much times were moved, and what changed."""
    meta = tx.one(MetaRecord, id="grid")
    if meta is None:
        raise LookupError("the database has lost its meta row")
    before = now if meta.swept_at is None else meta.swept_at
    tx.put(replace(meta, swept_at=now))
    if abs(now - before) > GAP_S:  # replicas differ by some ms in what they take the database's time for
        tx.shift(now - before)
        return now - before, NOTHING
    silent = tx.silent(now - LEASE_S) if judges else []
    silenced = {record.id: record.job.lease for record in silent}
    found = {record.id: record.request for record in [*silent, *tx.overdue(now)]}
    unread = {request.id for request in tx.unread(now)}
    # Requests before jobs, as everybody locks them.
    requests = tx.find(RequestRecord, id={*unread, *found.values()}) if unread or found else []
    left = {one.id for one in requests if one.ended_at is None and one.reader_at + one.reader_grace_s < now}
    jobs = [*(tx.find(JobRecord, id=found) if found else ()), *(tx.find(JobRecord, request=left) if left else ())]
    changed: list[JobRecord] = []
    for record in {one.id: one for one in jobs}.values():
        job = record.job
        if record.id in silenced and silenced[record.id] == job.lease:
            job = expire(job, now, grid.jitter())
        if job.deadline < now:
            job = pass_deadline(job)
        if record.request in left:
            job = cancel(job)
        if job != record.job:
            changed.append(replace(record, job=job))
    kept = keep(tx, changed, now)
    settings = grid.settings
    tx.purge(now - settings.text_kept_s, now - settings.verdicts_kept_s)
    return 0.0, kept


async def run_sweeps(grid: Grid) -> None:
    """Sweep until cancelled. A full disk, or a database that is away, is waited out."""
    while True:
        await asyncio.sleep(SWEEP_S)
        try:
            await sweep(grid)
        except StorageError as error:
            log.warning("the sweep was put off: %s", error)


async def run_flushes(grid: Grid) -> None:
    """Tell the database once a second whom we saw, until cancelled."""
    while True:
        await asyncio.sleep(FLUSH_S)
        unsaid, now = grid.unsaid.take(), grid.now()
        if not unsaid:
            continue

        def tell(tx: Tx, it: Unsaid = unsaid, now: float = now) -> dict[str, float]:
            tx.touch(it, now)
            return tx.leads(now)

        try:
            grid.fairness.learn(await grid.store.write(tell), now)
        except StorageError:
            grid.unsaid.put_back(unsaid)
