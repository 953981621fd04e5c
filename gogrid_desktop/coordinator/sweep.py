"""The sweep, every 2 s: silent leases, passed deadlines, readers who left, texts whose time is over.

A sweep that finds the last one too long ago, or in the future, moves every time by that gap and expires nothing: that
the coordinator was away, or its clock was set, is nobody's fault.
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass, replace

from gogrid_desktop.coordinator.books import keep
from gogrid_desktop.coordinator.grid import Grid
from gogrid_desktop.coordinator.store.port import Tx
from gogrid_desktop.coordinator.store.records import JobRecord, MetaRecord
from gogrid_desktop.core.lease import JobState, cancel, expire, pass_deadline, shift
from gogrid_desktop.errors import StorageFull
from gogrid_desktop.protocol.grid import SWEEP_S

log = logging.getLogger(__name__)

FLUSH_S = 1.0
#: A sweep this long ago means that nobody swept: three were missed.
GAP_S = 6.0


@dataclass(frozen=True, slots=True)
class Swept:
    """`gap_s`: by how much times were moved. `touched`: requests that changed. `live`: leases that go on."""

    gap_s: float
    touched: frozenset[str]
    live: frozenset[str]


async def sweep(grid: Grid) -> Swept:
    """One round. Raises StorageFull; then nothing was changed."""
    now = grid.now()
    nodes, readers = grid.presence.take_dirty()

    def work(tx: Tx) -> Swept:
        tx.touch(nodes, readers)
        return _sweep(grid, tx, now)

    try:
        swept = await grid.store.write(work)
    except StorageFull:
        grid.presence.put_back(nodes, readers)
        raise
    if swept.gap_s:
        log.warning("no sweep for %.1f s; leases and deadlines were moved", swept.gap_s)
        grid.presence.shift(swept.gap_s, now)
    grid.presence.forget_all_but(set(swept.live))
    grid.swept_at = now
    grid.bells.ring(swept.touched)
    if swept.touched or swept.gap_s:
        grid.work.set()
    return swept


def _sweep(grid: Grid, tx: Tx, now: float) -> Swept:
    meta = tx.one(MetaRecord, id="grid")
    if meta is None:
        raise LookupError("the database has lost its meta row")
    before = now if meta.swept_at is None else meta.swept_at
    tx.put(replace(meta, swept_at=now))
    leased = tx.leased()
    live = {record.job.lease.id for record in leased if record.job.lease}
    if not 0 <= now - before <= GAP_S:
        _shift(tx, now - before)
        return Swept(now - before, frozenset(), frozenset(live))
    settings = grid.settings
    changed: dict[str, JobRecord] = {}
    for record in leased:
        lease = record.job.lease
        if lease and grid.presence.is_silent(lease, now):
            changed[record.id] = replace(record, job=expire(record.job, now, grid.jitter()))
            live.discard(lease.id)
    for record in tx.overdue(now):
        changed[record.id] = replace(record, job=pass_deadline(changed.get(record.id, record).job))
    if unread := {request.id for request in tx.unread(now)}:
        for record in tx.find(JobRecord, request=unread):
            changed[record.id] = replace(record, job=cancel(changed.get(record.id, record).job))
    touched = keep(tx, changed.values(), now)
    tx.purge(now - settings.text_kept_s, now - settings.verdicts_kept_s)
    return Swept(0.0, frozenset(touched), frozenset(live))


def _shift(tx: Tx, gap_s: float) -> None:
    unfinished = tx.find(JobRecord, state=[JobState.QUEUED, JobState.LEASED])
    tx.put(*(replace(record, job=shift(record.job, gap_s)) for record in unfinished))
    unfinished_requests = tx.unread(math.inf)
    tx.put(*(replace(request, reader_at=request.reader_at + gap_s) for request in unfinished_requests))


async def run_sweeps(grid: Grid) -> None:
    """Sweep until cancelled. A full disk is waited out."""
    while True:
        await asyncio.sleep(SWEEP_S)
        try:
            await sweep(grid)
        except StorageFull as error:
            log.warning("the sweep was put off: %s", error)


async def run_flushes(grid: Grid) -> None:
    """Tell the database once a second whom we saw, until cancelled."""
    while True:
        await asyncio.sleep(FLUSH_S)
        nodes, readers = grid.presence.take_dirty()
        if not (nodes or readers):
            continue
        try:
            await grid.store.write(lambda tx, seen=nodes, read=readers: tx.touch(seen, read))  # type: ignore[misc]
        except StorageFull:
            grid.presence.put_back(nodes, readers)
