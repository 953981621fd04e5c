"""Who was heard of lately: nodes, the leases they hold, their polls, readers of answers.

This changes with every heartbeat, so it lives in memory; the database hears of it once a second. After a restart all
leases count as held since then: a coordinator's absence is nobody's fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gogrid_desktop.coordinator.store.records import NodeRecord
from gogrid_desktop.core.lease import Lease
from gogrid_desktop.protocol.grid import LEASE_S, REPORTS_PER_S, JobKind, NodeState, Priority


@dataclass(slots=True)
class _Node:
    record: NodeRecord
    last_seen: float
    polls: list[str] = field(default_factory=list)
    tokens: float = REPORTS_PER_S
    counted_at: float = 0.0
    state: NodeState = field(default_factory=NodeState)


class Presence:
    def __init__(self, now: float, known_s: float) -> None:
        self._since = now
        self._known_s = known_s
        self._nodes: dict[str, _Node] = {}
        self._held: dict[str, float] = {}
        self._dirty_nodes: dict[str, float] = {}
        self._dirty_readers: dict[str, float] = {}

    def load(self, nodes: Iterable[NodeRecord]) -> None:
        """What the database knows of nodes, at the start."""
        self._nodes = {node.id: _Node(node, node.last_seen) for node in nodes}

    def saw(self, record: NodeRecord, now: float) -> None:
        """A call of this node, with what the database has of it."""
        node = self._nodes.setdefault(record.id, _Node(record, now))
        node.record, node.last_seen = record, now
        self._dirty_nodes[record.id] = now

    def allow_report(self, node: str, now: float) -> bool:
        """Count a report; False if the node has used up `REPORTS_PER_S`."""
        entry = self._nodes[node]
        entry.tokens = min(REPORTS_PER_S, entry.tokens + max(0.0, now - entry.counted_at) * REPORTS_PER_S)
        entry.counted_at = now
        if entry.tokens < 1:
            return False
        entry.tokens -= 1
        return True

    def polled(self, node: str, poll: str) -> None:
        """This poll is now the node's newest."""
        polls = self._nodes[node].polls
        if poll not in polls:
            polls.append(poll)
            del polls[:-16]

    def reported(self, node: str, state: NodeState, held: Iterable[str], now: float) -> None:
        self._nodes[node].state = state
        for lease in held:
            self._held[lease] = now

    def polls_not_older(self, node: str, than: str) -> frozenset[str]:
        """The node's polls from `than` on. A poll that was not seen yet is the newest."""
        polls = self._nodes[node].polls
        return frozenset(polls[polls.index(than) :]) if than in polls else frozenset({than})

    def is_silent(self, lease: Lease, now: float) -> bool:
        """Whether no report has held the lease for `LEASE_S`."""
        return now - max(self._held.get(lease.id, 0.0), lease.granted_at, self._since) > LEASE_S

    def forget_all_but(self, leases: set[str]) -> None:
        for gone in self._held.keys() - leases:
            del self._held[gone]

    def shift(self, gap_s: float, now: float) -> None:
        """The process was away, or the clock was set: leases count as held from now."""
        self._since = now
        self._held = {lease: at + gap_s for lease, at in self._held.items()}

    def known(self, now: float) -> list[NodeRecord]:
        """Nodes whose last call is not long ago."""
        return [node.record for node in self._nodes.values() if now - node.last_seen <= self._known_s]

    def serving(self, model: str, kind: JobKind, priority: Priority, now: float) -> list[NodeRecord]:
        """Known nodes that take such jobs, though perhaps not from everyone."""
        return [node for node in self.known(now) if node.takes(model, kind, priority)]

    def read(self, request: str, now: float) -> None:
        """A reader of this request is there."""
        self._dirty_readers[request] = now

    def take_dirty(self) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """What the database has not heard yet: when nodes were seen and requests read."""
        taken = self._dirty_nodes, self._dirty_readers
        self._dirty_nodes, self._dirty_readers = {}, {}
        return taken

    def put_back(self, nodes: Mapping[str, float], readers: Mapping[str, float]) -> None:
        """The database could not take it."""
        self._dirty_nodes = {**nodes, **self._dirty_nodes}
        self._dirty_readers = {**readers, **self._dirty_readers}
