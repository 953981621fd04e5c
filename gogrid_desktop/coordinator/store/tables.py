"""The tables of the SQL store: a column for each field of a record, a job's own fields beside its record's."""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Boolean, Column, Dialect, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from gogrid_desktop.coordinator.store import records
from gogrid_desktop.coordinator.store.records import JobRecord, Record
from gogrid_desktop.core.lease import FinishReason, Job, JobError, JobState, Lease, Verdict
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
    c("uses_left", Integer),
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
    c("expires_at", Float, null=True),
    c("models", Words),
    c("kinds", Json(tuple[JobKind, ...])),
    c("context", Integer),
    c("account", Text, null=True),
    c("work", Json(tuple[Work, ...])),
    c("share_with", ShareWith),
    c("groups", Words),
    Index("nodes_token_hash", "token_hash", unique=True),
)
models = Table(
    "models",
    metadata,
    c("sha256", Text, key=True),
    c("id", Text),
    c("size_bytes", Integer),
    c("context", Integer),
    c("created", Integer),
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
)
Index("requests_idempotency", requests.c.account, requests.c.idempotency_key, unique=True)
Index("requests_open", requests.c.reader_at, sqlite_where=requests.c.ended_at.is_(None))
Index("requests_kept", requests.c.ended_at, sqlite_where=requests.c.body.is_not(None))
jobs = Table(
    "jobs",
    metadata,
    c("id", Text, key=True),
    c("request", Text, ForeignKey("requests.id")),
    c("position", Integer),
    c("account", Text),
    c("kind", JobKind),
    c("model", Text),
    c("priority", Priority),
    c("order_at", Float),
    c("deadline", Float),
    c("max_tokens", Integer),
    c("prompt_bytes", Integer),
    c("dry_limit", Integer),
    c("state", JobState),
    c("fence", Integer),
    c("lease", Json(Lease), null=True),
    c("leased_to", Text, null=True),
    c("tokens", Integer),
    c("bytes", Integer),
    c("dry_tokens", Integer),
    c("prompt_tokens", Integer, null=True),
    c("prompt_hash", Text, null=True),
    c("attempts", Integer),
    c("barren_in_a_row", Integer),
    c("barren", Integer),
    c("not_before", Float),
    c("suspect", Boolean),
    c("needs_context", Integer),
    c("avoid", Words),
    c("faulted", Words),
    c("finish", FinishReason, null=True),
    c("error", Json(JobError), null=True),
    c("refusal", LargeBinary, null=True),
    Index("jobs_request", "request"),
)
Index("jobs_queued", jobs.c.model, jobs.c.order_at, jobs.c.id, sqlite_where=jobs.c.state == JobState.QUEUED)
Index(
    "jobs_queued_of",
    *(jobs.c.account, jobs.c.model, jobs.c.order_at, jobs.c.id),
    sqlite_where=jobs.c.state == JobState.QUEUED,
)
Index("jobs_leased", jobs.c.leased_to, sqlite_where=jobs.c.leased_to.is_not(None))
Index("jobs_deadline", jobs.c.deadline, sqlite_where=jobs.c.state.in_([JobState.QUEUED, JobState.LEASED]))
chunks = Table(
    "chunks",
    metadata,
    c("job", Text, ForeignKey("jobs.id"), key=True),
    c("tokens_before", Integer, key=True),
    c("bytes_before", Integer, key=True),
    c("fence", Integer),
    c("node", Text),
    c("tokens", Integer),
    c("bytes", Integer),
    c("token_ids", LargeBinary, null=True),
    c("text", LargeBinary, null=True),
)
verdicts = Table(
    "verdicts",
    metadata,
    c("lease", Text, key=True),
    c("node", Text),
    c("verdict", Verdict),
    c("tokens", Integer),
    c("bytes", Integer),
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

_JOB_FIELDS = tuple(field.name for field in fields(Job))


def to_row(record: Record) -> dict[str, Any]:
    """A record's columns by name."""
    row = {name: getattr(record, name) for name in _names(type(record))}
    if isinstance(record, JobRecord):
        del row["job"]
        row |= {name: getattr(record.job, name) for name in _JOB_FIELDS}
        row["leased_to"] = record.leased_to
    return row


def from_row(kind: type[Record], row: dict[str, Any]) -> Record:
    """The record of a row."""
    if kind is JobRecord:
        del row["leased_to"]
        row["job"] = Job(**{name: row.pop(name) for name in _JOB_FIELDS})
    return kind(**row)


def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))
