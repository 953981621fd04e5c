"""The statements of the SQL stores, each built once: building one costs more than running it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Float,
    Select,
    Table,
    Text,
    Update,
    bindparam,
    case,
    cast,
    delete,
    func,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from gogrid_desktop.coordinator.store.arrays import Texts
from gogrid_desktop.coordinator.store.tables import MOVING, accounts, chunks, jobs, nodes, requests, verdicts

#: Requests purged in one transaction.
PURGED = 500
#: In words, because SQLite uses a partial index only for the very words that it was made with.
_QUEUED = text("state = 'queued'")
_ACTIVE = text("state IN ('queued', 'leased')")
_NOW: Any = bindparam("now", type_=Float)


class Statements:
    """Those of one database. `postgres`: values come as an array, so that the same words serve any number of them."""

    def __init__(self, *, postgres: bool) -> None:
        self._postgres = postgres
        among = self._among
        self.waiting = select(jobs.c.model, func.count().label("queued")).where(_QUEUED).group_by(jobs.c.model)
        self.waiting_of = self.waiting.where(among(jobs.c.account, "accounts"))
        self.load = (
            select(jobs.c.leased_to, func.count().label("jobs"), func.max(case((jobs.c.lease_alone, 1), else_=0)))
            .where(among(jobs.c.leased_to, "nodes"))
            .group_by(jobs.c.leased_to)
        )
        later = func.greatest if postgres else func.max
        self.charge = (
            update(accounts)
            .where(accounts.c.id == bindparam("key"))
            .values(next_at=later(accounts.c.next_at, _NOW) + bindparam("seconds", type_=Float))
        )
        of_them = among(jobs.c.request, "ids")
        self.purges = (
            update(chunks).where(chunks.c.job.in_(select(jobs.c.id).where(of_them))).values(token_ids=None, text=None),
            update(jobs).where(of_them).values(refusal=None),
            update(requests).where(among(requests.c.id, "ids")).values(body=None, idempotency_key=None),
        )

    @cache  # noqa: B019 - one of each lives as long as the process
    def upsert(self, table: Table) -> Any:
        """Takes rows as `rows` makes them."""
        fresh: Any = (postgresql.insert if self._postgres else sqlite.insert)(table)
        kept = {*table.primary_key.columns.keys(), *MOVING.get(table, ())}
        changed = {column.name: fresh.excluded[column.name] for column in table.c if column.name not in kept}
        if self._postgres:
            columns = {column.name: column for column in table.c}
            fresh = fresh.from_select(list(columns), select(_unnested(columns)))
        return fresh.on_conflict_do_update(index_elements=table.primary_key, set_=changed)

    @cache  # noqa: B019
    def change(self, table: Table, columns: tuple[str, ...]) -> Update:
        """These columns of the rows with the keys `key_...`. Takes rows as `rows` makes them."""
        keys = {f"key_{column.name}": column for column in table.primary_key}
        if self._postgres:
            new = _unnested(keys | {name: table.c[name] for name in columns})
            same = [column == new.c[name] for name, column in keys.items()]
            return update(table).where(*same).values({name: new.c[name] for name in columns})
        same = [column == bindparam(name) for name, column in keys.items()]
        return update(table).where(*same).values({name: bindparam(name) for name in columns})

    def rows(self, rows: list[dict[str, Any]]) -> Any:
        """Rows as one array for each column, where the database takes all of them in one statement."""
        return {name: [row[name] for row in rows] for name in rows[0]} if self._postgres else rows

    @cache  # noqa: B019
    def find(self, table: Table, equal: frozenset[str], one_of: frozenset[str], lock: bool) -> Select[Any]:
        """Rows whose columns equal the parameters of the same names, or are among them; locked in order, or not."""
        same = [table.c[name] == bindparam(name) for name in equal]
        found = select(table).where(*same, *(self._among(table.c[name], name) for name in one_of))
        return found.order_by(*table.primary_key).with_for_update() if lock and self._postgres else found

    @cache  # noqa: B019
    def queued(self, accounts: int | None, one_priority: bool, lock: bool) -> Select[Any]:
        """A page of the queue for all accounts (None), for one, or for several (2).

        Those of several are sorted: SQLite would otherwise prefer to walk the whole queue, which is in order already.
        Who locks what he reads leaves out what another has locked: that one gives it out.
        """
        found = select(jobs).where(_QUEUED, jobs.c.model == bindparam("model"), jobs.c.not_before <= _NOW)
        found = found.where(tuple_(jobs.c.order_at, jobs.c.id) > tuple_(bindparam("order_at"), bindparam("id")))
        if accounts is not None:
            found = found.where(self._among(jobs.c.account, "accounts"))
        if one_priority:
            found = found.where(jobs.c.priority == bindparam("priority"))
        several = accounts is not None and accounts > 1
        found = found.order_by(jobs.c.order_at + 0 if several else jobs.c.order_at, jobs.c.id).limit(bindparam("limit"))
        return found.with_for_update(skip_locked=True) if lock and self._postgres else found

    def _among(self, column: Column[Any], name: str) -> ColumnElement[bool]:
        if self._postgres:
            return column == func.any(bindparam(name, type_=ARRAY(Text)))
        return column.in_(bindparam(name, expanding=True))


touch_nodes = (
    update(nodes)
    .where(nodes.c.id == bindparam("key"))
    .values(
        last_seen=func.coalesce(bindparam("seen", type_=Float), nodes.c.last_seen),
        reported_at=func.coalesce(bindparam("reported", type_=Float), nodes.c.reported_at),
    )
)
touch_readers = (
    update(requests).where(requests.c.id == bindparam("key")).values(reader_at=bindparam("read", type_=Float))
)


def _unnested(columns: Mapping[str, Column[Any]]) -> Any:
    """Rows made of arrays, one for each column, which are the parameters of these names."""
    arrays = (cast(bindparam(name, type_=Texts(column.type)), ARRAY(column.type)) for name, column in columns.items())
    typed = (Column(name, column.type) for name, column in columns.items())
    return func.unnest(*arrays).table_valued(*typed, name="new").render_derived()


leased = select(jobs).where(jobs.c.leased_to.is_not(None))
silent = (
    select(jobs)
    .outerjoin(nodes, nodes.c.id == jobs.c.leased_to)
    .where(jobs.c.leased_to.is_not(None), jobs.c.lease_granted_at < bindparam("before"))
    .where(or_(nodes.c.id.is_(None), nodes.c.reported_at < bindparam("before")))
)
seen = select(nodes.c.id, nodes.c.last_seen).where(nodes.c.last_seen >= bindparam("since"))
leads = select(accounts.c.id, accounts.c.next_at).where(accounts.c.next_at > _NOW)
offered = select(nodes).where(nodes.c.offered_at >= bindparam("since"))
newest = select(jobs).order_by(jobs.c.order_at.desc()).limit(bindparam("limit"))
overdue = select(jobs).where(_ACTIVE, jobs.c.deadline < _NOW)
unread = select(requests).where(requests.c.ended_at.is_(None), requests.c.reader_at + requests.c.reader_grace_s < _NOW)
chunks_after = (
    select(chunks)
    .where(chunks.c.job == bindparam("job"), chunks.c.bytes_before + chunks.c.bytes > bindparam("after_bytes"))
    .order_by(chunks.c.tokens_before, chunks.c.bytes_before)
)
counts = select(jobs.c.model, jobs.c.state, func.count()).group_by(jobs.c.model, jobs.c.state)

_GAP: Any = bindparam("gap_s")
shifts = (
    update(nodes).values(last_seen=nodes.c.last_seen + _GAP, reported_at=nodes.c.reported_at + _GAP),
    update(requests).where(requests.c.ended_at.is_(None)).values(reader_at=requests.c.reader_at + _GAP),
    update(jobs)
    .where(_ACTIVE)
    .values(
        deadline=jobs.c.deadline + _GAP,
        not_before=case((jobs.c.not_before > 0, jobs.c.not_before + _GAP), else_=0.0),
        lease_granted_at=jobs.c.lease_granted_at + _GAP,
    ),
)

purgeable = (
    select(requests.c.id)
    .where(requests.c.ended_at < bindparam("ended_before"), requests.c.body.is_not(None))
    .limit(PURGED)
)
forget_verdicts = delete(verdicts).where(verdicts.c.at < bindparam("before"))
