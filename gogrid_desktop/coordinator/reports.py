"""Hearing a node's report: every lease in it is judged alone, all of it in one transaction, readers woken after it."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace

from gogrid_desktop.coordinator.books import NOTHING, Kept, ending, keep
from gogrid_desktop.coordinator.grid import Grid
from gogrid_desktop.coordinator.store.port import Ahead, Tx
from gogrid_desktop.coordinator.store.records import ChunkRecord, JobRecord, ModelRecord, VerdictRecord
from gogrid_desktop.coordinator.texts import chunk_record
from gogrid_desktop.core import lease as core
from gogrid_desktop.core.lease import JobState, Verdict, hear, job_of, poll_before, unarrived
from gogrid_desktop.protocol.grid import (
    Complete,
    Fault,
    Have,
    JobKind,
    LeaseReport,
    LeaseVerdict,
    Rejected,
    Release,
    Report,
    Reported,
)

log = logging.getLogger(__name__)

MAX_REFUSAL_CHARS = 1000


@dataclass(slots=True)
class _Judged:
    """The verdicts on a report, and what must be written for them to hold."""

    verdicts: dict[str, LeaseVerdict] = field(default_factory=dict)
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    chunks: list[ChunkRecord] = field(default_factory=list)
    remembered: list[VerdictRecord] = field(default_factory=list)


async def take(grid: Grid, node: str, report: Report) -> Reported:
    """Verdicts for every lease that the report names or holds. Raises StorageError; then nothing was taken."""
    now = grid.now()

    def judge(tx: Tx) -> _Judged:
        return _judge(grid, tx, node, report, now)

    def write(tx: Tx) -> tuple[_Judged, Kept]:
        judged = judge(tx)
        kept = keep(tx, judged.jobs.values(), now)
        tx.put(*judged.chunks, *judged.remembered)
        return judged, kept

    ahead = Ahead(JobRecord, "leased_to", (node,))
    judged, kept = _Judged(), NOTHING
    if not report.leases:  # most heartbeats change nothing: spare them the writer
        judged = await grid.store.read(judge, ahead)
    if report.leases or judged.jobs:
        ends = ending(job_of(one.lease) for one in report.leases if one.end is not None)
        judged, kept = await grid.store.write(write, ends, ahead)
    for one in report.leases:
        if isinstance(one.end, Fault):  # not its message, which may quote the prompt
            log.warning("%s reports a %s fault under lease %s", node, one.end.kind.value, one.lease)
    grid.presence.reported(node, report.state, now)
    grid.committed(kept, work=any(record.state is JobState.QUEUED for record in judged.jobs.values()))
    return Reported(verdicts=tuple(judged.verdicts.values()))


def _judge(grid: Grid, tx: Tx, node: str, report: Report, now: float) -> _Judged:
    judged = _Judged()
    said: dict[str, LeaseReport | None] = {**dict.fromkeys(report.held), **{one.lease: one for one in report.leases}}
    jobs = {one.id: one for one in tx.find(JobRecord, leased_to=node)}
    over = said.keys() - {one.job.lease.id for one in jobs.values() if one.job.lease}
    past = {one.lease: one for one in tx.find(VerdictRecord, lease=over, node=node)} if over else {}
    if late := {job_of(one) for one in said} - jobs.keys():
        jobs |= {one.id: one for one in tx.find(JobRecord, id=late)}
    for lease_id, one in said.items():
        record = jobs.get(job_of(lease_id))
        if (before := past.get(lease_id)) is not None:
            have = Have(tokens=before.tokens, bytes=before.bytes)
            judged.verdicts[lease_id] = LeaseVerdict(lease=lease_id, verdict=before.verdict, have=have)
        elif record is None:
            judged.verdicts[lease_id] = LeaseVerdict(lease=lease_id, verdict=Verdict.LOST)
        else:
            one = one or LeaseReport(lease=lease_id, fence=record.job.fence)  # held, and nothing to say of it
            jobs[record.id] = _hear(grid, judged, _said(tx, node, record, one), record, one, now)
    for record in jobs.values():
        lease = record.job.lease
        if lease and record.leased_to == node and lease.id not in said and poll_before(lease.poll, report.poll):
            judged.jobs[record.id] = replace(record, job=unarrived(record.job))
    return judged


def _hear(grid: Grid, judged: _Judged, said: core.Said, record: JobRecord, one: LeaseReport, now: float) -> JobRecord:
    heard = hear(record.job, said, now, grid.jitter())
    job, node = heard.job, said.node
    if job.error and isinstance(one.end, Rejected) and heard.remember:
        # A node's words may quote the prompt: they are kept like it.
        refusal = grid.vault.seal(job.error.message[:MAX_REFUSAL_CHARS].encode())
        job = replace(job, error=replace(job.error, message=""))
        record = replace(record, refusal=refusal)
    if job != record.job:
        record = judged.jobs[record.id] = replace(record, job=job)
    judged.chunks += [
        chunk_record(grid.vault, job.id, node, one.fence, one.chunks[size.index], size) for size in heard.taken
    ]
    have = Have(tokens=job.tokens, bytes=job.bytes)
    judged.verdicts[one.lease] = LeaseVerdict(lease=one.lease, verdict=heard.verdict, have=have)
    if heard.remember:
        judged.remembered.append(VerdictRecord(one.lease, node, heard.verdict, job.tokens, job.bytes, now))
    return record


def _said(tx: Tx, node: str, record: JobRecord, one: LeaseReport) -> core.Said:
    prompt_tokens, prompt_hash = (one.prompt.tokens, one.prompt.hash) if one.prompt else (None, None)
    chunks = tuple(
        core.Chunk(index, chunk.tokens_before, chunk.bytes_before, len(chunk.token_ids), len(chunk.text.encode()))
        for index, chunk in enumerate(one.chunks)
    )
    return core.Said(node, one.lease, one.fence, prompt_tokens, prompt_hash, chunks, _end(tx, record, one))


def _end(
    tx: Tx, record: JobRecord, one: LeaseReport
) -> core.Completed | core.Released | core.Rejected | core.Faulted | None:
    match one.end:
        case Complete(tokens=tokens, bytes=size, finish_reason=finish):
            return core.Completed(tokens, size, finish)
        case Release(needs_context=int(needed)) if needed > (offered := _offered_context(tx, record)):
            param = "messages" if record.kind is JobKind.CHAT else "prompt"
            message = f"{param} takes a context of {needed} tokens, and this grid offers {offered} with the model."
            return core.Rejected("context_length_exceeded", message, param)
        case Release(reason=reason, needs_context=context):
            return core.Released(reason, context)
        case Rejected(code=code, message=message, param=param):
            return core.Rejected(code, message, param)
        case Fault(kind=kind):
            return core.Faulted(kind)
        case None:
            return None


def _offered_context(tx: Tx, record: JobRecord) -> float:
    """The longest sequence that the catalogue offers with the job's model; no bound once it is out of the catalogue."""
    model = tx.one(ModelRecord, sha256=record.model)
    return model.context if model else math.inf
