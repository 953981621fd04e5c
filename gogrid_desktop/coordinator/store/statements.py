"""The statements of the SQL store, each built once: building one costs more than running it."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Select, Table, Update, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.sqlite import Insert, insert

from gogrid_desktop.coordinator.store.tables import chunks, jobs, nodes, requests, verdicts

#: Requests purged in one transaction.
PURGED = 500
#: In words, because SQLite uses a partial index only for the very words that it was made with.
_QUEUED = text("state = 'queued'")
_ACTIVE = text("state IN ('queued', 'leased')")
_NOW: Any = bindparam("now")


@cache
def upsert(table: Table) -> Insert:
    fresh = insert(table)
    changed = {column.name: fresh.excluded[column.name] for column in table.c if not column.primary_key}
    return fresh.on_conflict_do_update(index_elements=table.primary_key, set_=changed)


@cache
def find(table: Table, equal: frozenset[str], one_of: frozenset[str]) -> Select[Any]:
    """Rows whose columns equal the parameters of the same names, or are among them."""
    same = [table.c[name] == bindparam(name) for name in equal]
    among = [table.c[name].in_(bindparam(name, expanding=True)) for name in one_of]
    return select(table).where(*same, *among)


@cache
def touch(column: str) -> Update:
    table = nodes if column == "last_seen" else requests
    return update(table).where(table.c.id == bindparam("key")).values({column: bindparam("at")})


_OF_THEM: Any = jobs.c.account.in_(bindparam("accounts", expanding=True))


@cache
def queued(accounts: int | None, one_priority: bool) -> Select[Any]:
    """For all accounts (None), for one, or for several (2).

    Those of several are sorted: SQLite would otherwise prefer to walk the whole queue, which is in order already.
    """
    found = select(jobs).where(_QUEUED, jobs.c.model == bindparam("model"), jobs.c.not_before <= _NOW)
    if accounts is not None:
        found = found.where(_OF_THEM)
    if one_priority:
        found = found.where(jobs.c.priority == bindparam("priority"))
    several = accounts is not None and accounts > 1
    return found.order_by(jobs.c.order_at + 0 if several else jobs.c.order_at, jobs.c.id)


leased = select(jobs).where(jobs.c.leased_to.is_not(None))
waiting = select(jobs.c.model, func.count().label("queued")).where(_QUEUED).group_by(jobs.c.model)
waiting_of = waiting.where(_OF_THEM)
newest = select(jobs).order_by(jobs.c.order_at.desc()).limit(bindparam("limit"))
overdue = select(jobs).where(_ACTIVE, jobs.c.deadline < _NOW)
unread = select(requests).where(requests.c.ended_at.is_(None), requests.c.reader_at + requests.c.reader_grace_s < _NOW)
chunks_after = (
    select(chunks)
    .where(chunks.c.job == bindparam("job"), chunks.c.bytes_before + chunks.c.bytes > bindparam("after_bytes"))
    .order_by(chunks.c.tokens_before, chunks.c.bytes_before)
)
counts = select(jobs.c.model, jobs.c.state, func.count()).group_by(jobs.c.model, jobs.c.state)

purgeable = (
    select(requests.c.id)
    .where(requests.c.ended_at < bindparam("ended_before"), requests.c.body.is_not(None))
    .limit(PURGED)
)
_of_them: Any = bindparam("ids", expanding=True)
purge_chunks = (
    update(chunks)
    .where(chunks.c.job.in_(select(jobs.c.id).where(jobs.c.request.in_(_of_them))))
    .values(token_ids=None, text=None)
)
purge_jobs = update(jobs).where(jobs.c.request.in_(_of_them)).values(refusal=None)
purge_requests = update(requests).where(requests.c.id.in_(_of_them)).values(body=None, idempotency_key=None)
forget_verdicts = delete(verdicts).where(verdicts.c.at < bindparam("before"))
