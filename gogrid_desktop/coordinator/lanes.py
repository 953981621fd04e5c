"""The queue as one round of matching reads it: only the lanes that a waiting node can be served from, each lazily.

A node that shares with everyone reads all jobs of its models. One that shares with some accounts reads theirs alone, so
that whatever waits for others cannot hold its own up, or make each look long.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from copy import copy
from itertools import islice, tee
from types import TracebackType

from gogrid_desktop.coordinator.matching import Offer
from gogrid_desktop.coordinator.store.port import Tx
from gogrid_desktop.coordinator.store.records import JobRecord
from gogrid_desktop.protocol.grid import Priority

#: Jobs of all accounts, of some, and of each account's own looked at in one round, so that many that fit nobody cannot
#: hold it up.
MAX_LOOKED_AT = 5000


class Lanes:
    """Open as long as it is entered."""

    def __init__(self, tx: Tx, now: float) -> None:
        self._tx, self._now = tx, now
        self._open = ExitStack()
        self._own: dict[tuple[str, Priority], Iterator[JobRecord]] = {}

    def __enter__(self) -> Lanes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def queue(self, offers: list[Offer]) -> Iterator[JobRecord]:
        """All jobs that could be for one of the offers, in order, each once."""
        readers: dict[tuple[str, frozenset[str] | None], list[Offer]] = {}
        for offer in offers:
            for model in offer.models if offer.accounts != frozenset() else ():
                readers.setdefault((model, offer.accounts), []).append(offer)
        of_all: list[Iterator[JobRecord]] = []
        of_some: list[Iterator[JobRecord]] = []
        for (model, accounts), wanting in readers.items():
            wanted = max(1, sum(offer.free for offer in wanting))  # what is read is kept from other replicas meanwhile
            lane = self._lane(self._tx.queued(model, self._now, accounts, page=wanted))
            (of_all if accounts is None else of_some).append(_while_wanted(lane, wanting))
        last = ""
        for record in _merged(islice(_merged(lanes), MAX_LOOKED_AT) for lanes in (of_all, of_some)):
            if record.id != last:
                yield record
            last = record.id

    def own(self, offers: list[Offer], account: str, priority: Priority) -> Iterator[JobRecord]:
        """The account's jobs of a priority that its own nodes among the offers have the model for, in order."""
        key = (account, priority)
        if key not in self._own:
            models = frozenset[str]().union(*(offer.models for offer in offers if offer.account == account))
            lanes = [self._lane(self._tx.queued(model, self._now, {account}, priority)) for model in models]
            (self._own[key],) = tee(islice(_merged(lanes), MAX_LOOKED_AT), 1)
        return copy(self._own[key])  # a copy begins where it was taken: nothing is read twice

    def _lane(self, lane: Generator[JobRecord, None, None]) -> Generator[JobRecord, None, None]:
        return self._open.enter_context(closing(lane))


def _merged(lanes: Iterable[Iterator[JobRecord]]) -> Iterator[JobRecord]:
    return heapq.merge(*lanes, key=lambda record: (record.order_at, record.id))


def _while_wanted(lane: Iterator[JobRecord], wanting: list[Offer]) -> Iterator[JobRecord]:
    """No further than somebody it is read for has a slot."""
    for record in lane:
        yield record
        if not any(offer.free > 0 for offer in wanting):
            return
