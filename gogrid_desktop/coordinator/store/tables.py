"""The tables of the SQL store: a column for each field of a record, a job's own fields beside its record's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from enum import StrEnum
from operator import attrgetter, itemgetter
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from gogrid_desktop.coordinator.store import records
from gogrid_desktop.coordinator.store.records import JobRecord, Record
from gogrid_desktop.core.lease import FinishReason, Job, JobError, JobState, Lease, Verdict, lease_id
from gogrid_desktop.protocol.grid import JobKind, Priority, ShareWith, Work


class Word(TypeDecorator[StrEnum]):
    """An enum as its word."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        return None if value is None else self.kind(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.kind(value)


class Json(TypeDecorator[Any]):
    """A small value as JSON, validated on the way back."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else self._adapter.dump_json(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else self._adapter.validate_json(value)


def _column(name: str, kind: Any, *constraints: Any, null: bool = False, key: bool = False) -> Column[Any]:
    kind = Word(kind) if isinstance(kind, type) and issubclass(kind, StrEnum) else kind
    typed: TypeEngine[Any] | type[TypeEngine[Any]] = kind
    return Column(name, typed, *constraints, nullable=null, primary_key=key)


def _partial(name: str, *columns: Column[Any], where: Any) -> Index:
    """An index of some rows alone."""
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


c = _column
metadata = MetaData()
Words = Json(tuple[str, ...])

meta = Table("meta", metadata, c("id", Text, key=True), c("swept_at", Float, null=True), c("key_check", LargeBinary))
accounts = Table(
    "accounts",
    metadata,
    c("id", Text, key=True),
    c("name", Text),
    c("max_priority", Priority),
    c("next_at", Float),
    c("created_at", Float),
    c("groups", Words),
)
api_keys = Table(
    "api_keys",
    metadata,
    c("id", Text, key=True),
    c("account", Text, ForeignKey("accounts.id")),
    c("hash", Text),
    c("created_at", Float),
    c("expires_at", Float, null=True),
    c("revoked_at", Float, null=True),
    Index("api_keys_hash", "hash", unique=True),
)
invites = Table(
    "invites",
    metadata,
    c("id", Text, key=True),
    c("hash", Text),
    c("uses_left", BigInteger),
    c("created_at", Float),
    c("expires_at", Float),
    c("account", Text, null=True),
    Index("invites_hash", "hash", unique=True),
)
nodes = Table(
    "nodes",
    metadata,
    c("id", Text, key=True),
    c("token_hash", Text),
    c("name", Text),
    c("platform", Text),
    c("version", Text),
    c("created_at", Float),
    c("last_seen", Float),
    c("reported_at", Float),
    c("offered_at", Float),
    c("expires_at", Float, null=True),
    c("models", Words),
    c("kinds", Json(tuple[JobKind, ...])),
    c("context", BigInteger),
    c("account", Text, null=True),
    c("work", Json(tuple[Work, ...])),
    c("share_with", ShareWith),
    c("groups", Words),
    Index("nodes_token_hash", "token_hash", unique=True),
    Index("nodes_last_seen", "last_seen"),
    Index("nodes_offered_at", "offered_at"),
)
models = Table(
    "models",
    metadata,
    c("sha256", Text, key=True),
    c("id", Text),
    c("size_bytes", BigInteger),
    c("context", BigInteger),
    c("created", BigInteger),
    c("path", Text),
    c("shared", Boolean),
)
requests = Table(
    "requests",
    metadata,
    c("id", Text, key=True),
    c("account", Text, ForeignKey("accounts.id")),
    c("kind", JobKind),
    c("model", Text),
    c("body", LargeBinary, null=True),
    c("rendered_at", Float),
    c("priority", Priority),
    c("created_at", Float),
    c("reader_at", Float),
    c("reader_grace_s", Float),
    c("idempotency_key", Text, null=True),
    c("body_hash", Text),
    c("ended_at", Float, null=True),
    c("left", BigInteger),
)
Index("requests_idempotency", requests.c.account, requests.c.idempotency_key, unique=True)
_partial("requests_open", requests.c.reader_at, where=requests.c.ended_at.is_(None))
_partial("requests_kept", requests.c.ended_at, where=requests.c.body.is_not(None))
jobs = Table(
    "jobs",
    metadata,
    c("id", Text, key=True),
    c("request", Text, ForeignKey("requests.id")),
    c("position", BigInteger),
    c("account", Text),
    c("kind", JobKind),
    c("model", Text),
    c("priority", Priority),
    c("order_at", Float),
    c("deadline", Float),
    c("max_tokens", BigInteger),
    c("prompt_bytes", BigInteger),
    c("dry_limit", BigInteger),
    c("state", JobState),
    c("fence", BigInteger),
    c("leased_to", Text, null=True),
    c("lease_node", Text, null=True),
    c("lease_poll", Text, null=True),
    c("lease_granted_at", Float, null=True),
    c("lease_tokens", BigInteger, null=True),
    c("lease_alone", Boolean, null=True),
    c("tokens", BigInteger),
    c("bytes", BigInteger),
    c("dry_tokens", BigInteger),
    c("prompt_tokens", BigInteger, null=True),
    c("prompt_hash", Text, null=True),
    c("attempts", BigInteger),
    c("barren_in_a_row", BigInteger),
    c("barren", BigInteger),
    c("not_before", Float),
    c("suspect", Boolean),
    c("needs_context", BigInteger),
    c("avoid", Words),
    c("faulted", Words),
    c("finish", FinishReason, null=True),
    c("error", Json(JobError), null=True),
    c("refusal", LargeBinary, null=True),
    Index("jobs_request", "request"),
)
_queued = jobs.c.state == JobState.QUEUED
_partial("jobs_queued", jobs.c.model, jobs.c.order_at, jobs.c.id, where=_queued)
_partial("jobs_queued_of", jobs.c.account, jobs.c.model, jobs.c.order_at, jobs.c.id, where=_queued)
_partial("jobs_leased", jobs.c.leased_to, where=jobs.c.leased_to.is_not(None))
_partial("jobs_deadline", jobs.c.deadline, where=jobs.c.state.in_([JobState.QUEUED, JobState.LEASED]))
chunks = Table(
    "chunks",
    metadata,
    c("job", Text, ForeignKey("jobs.id"), key=True),
    c("tokens_before", BigInteger, key=True),
    c("bytes_before", BigInteger, key=True),
    c("fence", BigInteger),
    c("node", Text),
    c("tokens", BigInteger),
    c("bytes", BigInteger),
    c("token_ids", LargeBinary, null=True),
    c("text", LargeBinary, null=True),
)
verdicts = Table(
    "verdicts",
    metadata,
    c("lease", Text, key=True),
    c("node", Text),
    c("verdict", Verdict),
    c("tokens", BigInteger),
    c("bytes", BigInteger),
    c("at", Float),
    Index("verdicts_at", "at"),
)

TABLE_OF: dict[type[Record], Table] = {
    records.MetaRecord: meta,
    records.AccountRecord: accounts,
    records.ApiKeyRecord: api_keys,
    records.InviteRecord: invites,
    records.NodeRecord: nodes,
    records.ModelRecord: models,
    records.RequestRecord: requests,
    records.JobRecord: jobs,
    records.ChunkRecord: chunks,
    records.VerdictRecord: verdicts,
}

#: Times that move with every call; `put` leaves them as they are where the row is there.
MOVING: dict[Table, tuple[str, ...]] = {
    accounts: ("next_at",),
    nodes: ("last_seen", "reported_at"),
    requests: ("reader_at",),
}


def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


_KEYS = {kind: attrgetter(*(column.name for column in table.primary_key)) for kind, table in TABLE_OF.items()}
_JOB_FIELDS = tuple(name for name in _names(Job) if name != "lease")
_LEASE_FIELDS = _names(Lease)[1:]  # the id follows from the job's
_LEASE_COLUMNS = ("lease_node", "lease_poll", "lease_granted_at", "lease_tokens", "lease_alone")
_BEFORE_LEASE, _FENCE = _names(Job).index("lease"), _JOB_FIELDS.index("fence")
_FIELDS = {kind: _names(kind) for kind in TABLE_OF}
_FIELDS[JobRecord] = _names(JobRecord)[1:]  # its job has columns of its own
_get_fields = {kind: attrgetter(*names) for kind, names in _FIELDS.items()}
_get_job, _get_lease = attrgetter(*_JOB_FIELDS), attrgetter(*_LEASE_FIELDS)


def _places(table: Table, names: tuple[str, ...]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """Takes these columns of a row of the table."""
    return itemgetter(*(table.c.keys().index(name) for name in names))


_take_fields = {kind: _places(TABLE_OF[kind], names) for kind, names in _FIELDS.items()}
_take_job, _take_lease = _places(jobs, _JOB_FIELDS), _places(jobs, _LEASE_COLUMNS)


def key_of(record: Record) -> Any:
    """What no two records of a kind share."""
    return _KEYS[type(record)](record)


def to_row(record: Record) -> dict[str, Any]:
    """A record's columns by name."""
    kind = type(record)
    row = dict(zip(_FIELDS[kind], _get_fields[kind](record), strict=True))
    if isinstance(record, JobRecord):
        lease = record.job.lease
        row.update(zip(_JOB_FIELDS, _get_job(record.job), strict=True))
        row.update(zip(_LEASE_COLUMNS, _get_lease(lease) if lease else (None,) * len(_LEASE_COLUMNS), strict=True))
        row["leased_to"] = record.leased_to
    return row


def from_row(kind: type[Record], row: Sequence[Any]) -> Record:
    """The record of a row, which has all columns in their order."""
    make: Callable[..., Record] = kind
    if kind is not JobRecord:
        return make(*_take_fields[kind](row))
    job, held = _take_job(row), _take_lease(row)
    lease = None if held[0] is None else Lease(lease_id(job[0], job[_FENCE]), *held)
    make_job: Callable[..., Job] = Job
    return make(make_job(*job[:_BEFORE_LEASE], lease, *job[_BEFORE_LEASE:]), *_take_fields[kind](row))
