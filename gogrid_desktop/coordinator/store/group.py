"""Works that are kept together: one transaction, one reading of what they need, one writing of what they put.

While one group is committed the next one gathers, so that the price of a commit is shared by all who wait for it. A
work sees what those before it have put. One that raises leaves nothing behind, as nothing of it was written yet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy.exc import DBAPIError

from gogrid_desktop.coordinator.store.port import PAGE, Ahead, R, Tx
from gogrid_desktop.coordinator.store.records import ChunkRecord, JobRecord, NodeRecord, Record, RequestRecord
from gogrid_desktop.coordinator.store.tables import TABLE_OF, key_of
from gogrid_desktop.coordinator.store.unsaid import Unsaid
from gogrid_desktop.protocol.grid import Priority

T = TypeVar("T")
_Key = Any
_Drafts = dict[type[Record], dict[_Key, Record]]


class Base(Tx, Protocol):
    """A transaction on the database itself."""

    def change(self, pairs: Iterable[tuple[Record, Record]]) -> None:
        """Write what differs in the second of each two from the first, which is there."""
        ...


class Spoilt(Exception):
    """A work raised after some of it was written: the transaction must go, and the others run again without it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one work."""

    result: Any = None
    error: Exception | None = None


def run(tx: Base, works: Sequence[tuple[Callable[[Tx], Any], Sequence[Ahead]]]) -> list[Outcome]:
    """Run works inside the open transaction of `tx`, each as if it were alone. Raises Spoilt, and what `tx` raises."""
    shared = _Shared(tx)
    shared.read([ahead for _, aheads in works for ahead in aheads])
    outcomes: list[Outcome] = []
    for work, _ in works:
        mine = WorkTx(shared)
        try:
            outcomes.append(Outcome(work(mine)))
        except Exception as error:
            if len(works) == 1 or isinstance(error, DBAPIError):
                raise
            if mine.wrote:
                raise Spoilt from error
            outcomes.append(Outcome(error=error))
        else:
            mine.settle()
    shared.write()
    return outcomes


class _Shared:
    """What the works of a group have read and put. `kept`: as the database has it; `known`: as it is now.

    `put`: what must still be written; `changed`: what was put at all. `answered`: the keys that the database gave for a
    field's value.
    """

    def __init__(self, tx: Base) -> None:
        self.tx = tx
        self.kept: _Drafts = {}
        self.known: _Drafts = {}
        self.put: _Drafts = {}
        self.changed: _Drafts = {}
        self._answered: dict[tuple[type[Record], str, str], list[_Key]] = {}

    def read(self, aheads: Iterable[Ahead]) -> None:
        """One question for each kind and field, in the order in which rows are locked."""
        asked: dict[tuple[type[Record], str], set[str]] = {}
        for ahead in aheads:
            asked.setdefault((ahead.kind, ahead.field), set()).update(ahead.values)
        for kind in TABLE_OF:
            for (of, field), values in asked.items():
                if of is kind:
                    self.find(of, {field: sorted(values)})

    def asked(self, kind: type[Record], field: str, value: str) -> bool:
        """Whether the database was asked for all records of a kind with this value."""
        return (kind, field, value) in self._answered

    def find(self, kind: type[R], equal: Mapping[str, Collection[str]]) -> list[_Key]:
        """Keys of all records that the database has with these values; they are in `known` then."""
        for field, values in equal.items():
            if all((kind, field, value) in self._answered for value in values):
                return [key for value in values for key in self._answered[kind, field, value]]
        only = next(iter(equal)) if len(equal) == 1 else None
        if only is not None:
            fresh = [value for value in equal[only] if (kind, only, value) not in self._answered]
            self._answered |= {(kind, only, value): [] for value in fresh}
            found = self.tx.find(kind, **{only: fresh})
        else:
            found = self.tx.find(kind, **equal)
        known, kept, keys = self.known.setdefault(kind, {}), self.kept.setdefault(kind, {}), []
        for record in found:
            key = key_of(record)
            if key not in known:
                known[key] = kept[key] = record
            keys.append(key)
            if only is not None:
                self._answered[kind, only, getattr(record, only)].append(key)
        return keys if only is None else self.find(kind, equal)

    def write(self) -> None:
        """Write what was put."""
        fresh: list[Record] = []
        changed: list[tuple[Record, Record]] = []
        for kind, records in self.put.items():
            kept = self.kept.setdefault(kind, {})
            for key, record in records.items():
                before = kept.get(key)
                if before is None:
                    fresh.append(record)
                else:
                    changed.append((before, record))
            kept.update(records)
        self.put = {}
        if fresh:
            self.tx.put(*fresh)
        if changed:
            self.tx.change(changed)


class WorkTx:
    """The transaction as one work of a group sees it. A question that only the database can answer writes first."""

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self._draft: _Drafts = {}
        self.wrote = False

    def settle(self) -> None:
        """What this work put counts for those after it."""
        for kind, records in self._draft.items():
            for drafts in (self._shared.known, self._shared.put, self._shared.changed):
                drafts.setdefault(kind, {}).update(records)
        self._draft = {}

    def find(self, kind: type[R], **equal: str | Collection[str]) -> list[R]:
        if not equal:
            return self._whole().find(kind)
        wanted = {name: (value,) if isinstance(value, str) else value for name, value in equal.items()}
        keys = self._shared.find(kind, wanted)
        known, changed = self._shared.known.get(kind, {}), self._shared.changed.get(kind, {})
        draft = self._draft.get(kind, {})
        found: list[R] = []
        for key in dict.fromkeys([*keys, *changed, *draft]):
            record = draft.get(key) or known[key]
            if all(getattr(record, name) in values for name, values in wanted.items()):
                found.append(cast(R, record))
        return found

    def one(self, kind: type[R], **equal: str) -> R | None:
        return next(iter(self.find(kind, **equal)), None)

    def put(self, *records: Record) -> None:
        for record in records:
            self._draft.setdefault(type(record), {})[key_of(record)] = record

    def queued(
        self,
        model: str,
        now: float,
        accounts: Collection[str] | None = None,
        priority: Priority | None = None,
        page: int = PAGE,
    ) -> Generator[JobRecord, None, None]:
        return self._whole().queued(model, now, accounts, priority, page)

    def leased(self) -> list[JobRecord]:
        return self._whole().leased()

    def waiting(self, accounts: Collection[str] | None = None) -> dict[str, int]:
        return self._whole().waiting(accounts)

    def newest(self, limit: int) -> list[JobRecord]:
        return self._whole().newest(limit)

    def silent(self, before: float) -> list[JobRecord]:
        return self._whole().silent(before)

    def load(self, nodes: Collection[str]) -> dict[str, tuple[int, bool]]:
        return self._whole().load(nodes)

    def seen(self, since: float) -> dict[str, float]:
        return self._whole().seen(since)

    def offered(self, since: float) -> list[NodeRecord]:
        return self._whole().offered(since)

    def overdue(self, now: float) -> list[JobRecord]:
        return self._whole().overdue(now)

    def unread(self, now: float) -> list[RequestRecord]:
        return self._whole().unread(now)

    def chunks(self, job: str, after_bytes: int = -1) -> list[ChunkRecord]:
        if self._shared.asked(ChunkRecord, "job", job):
            found = (one for one in self.find(ChunkRecord, job=job) if one.bytes_before + one.bytes > after_bytes)
            return sorted(found, key=lambda one: (one.tokens_before, one.bytes_before))
        return self._whole().chunks(job, after_bytes)

    def touch(self, unsaid: Unsaid, now: float) -> None:
        self._whole(changes=True).touch(unsaid, now)

    def leads(self, now: float) -> dict[str, float]:
        return self._whole().leads(now)

    def shift(self, gap_s: float) -> None:
        self._whole(changes=True).shift(gap_s)

    def purge(self, ended_before: float, verdicts_before: float) -> None:
        self._whole(changes=True).purge(ended_before, verdicts_before)

    def counts(self) -> dict[tuple[str, str], int]:
        return self._whole().counts()

    def _whole(self, changes: bool = False) -> Tx:
        """The database with all that was put so far."""
        self.wrote |= changes or bool(self._draft)
        self.settle()
        self._shared.write()
        return self._shared.tx
