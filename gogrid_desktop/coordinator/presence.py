"""Who was heard of lately: nodes, what they said of themselves, readers of answers.

This changes with every heartbeat, so it lives in memory; the database hears of it once a second, and with it all other
replicas. After a start nobody counts as silent for a while: a coordinator's absence is nobody's fault.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from gogrid_desktop.coordinator.store.records import NodeRecord
from gogrid_desktop.coordinator.store.unsaid import Unsaid
from gogrid_desktop.protocol.grid import LEASE_S, REPORTS_PER_S, JobKind, NodeState, Priority, Work, work_of


@dataclass(slots=True)
class _Node:
    record: NodeRecord
    last_seen: float
    tokens: float = REPORTS_PER_S
    counted_at: float = 0.0
    state: NodeState = field(default_factory=NodeState)


@dataclass(frozen=True, slots=True)
class _Serving:
    """Nodes that take some jobs; all of them are known until then."""

    nodes: list[NodeRecord]
    until: float


_offer = attrgetter("models", "kinds", "work", "account", "share_with", "groups")


class Presence:
    def __init__(self, now: float, known_s: float, unsaid: Unsaid) -> None:
        self._since = now
        self._known_s = known_s
        self._nodes: dict[str, _Node] = {}
        self._unsaid = unsaid
        self._serving: dict[tuple[str, JobKind, Work], _Serving] = {}

    def learn(self, nodes: Iterable[NodeRecord]) -> None:
        """What the database knows of nodes: all of them at the start, later those whose offer changed."""
        for record in nodes:
            node = self._nodes.get(record.id)
            if node is None or _offer(node.record) != _offer(record):
                self._serving.clear()
            if node is None:
                node = self._nodes[record.id] = _Node(record, record.last_seen)
            node.record = record

    def heard(self, last_seen: Mapping[str, float]) -> None:
        """When nodes called, here or elsewhere."""
        for id, at in last_seen.items():
            if node := self._nodes.get(id):
                self._move(node, max(node.last_seen, at))

    def saw(self, record: NodeRecord, now: float) -> None:
        """A call of this node, with what the database has of it."""
        node = self._nodes.get(record.id)
        if node is None or node.record is not record:
            self.learn([record])
            node = self._nodes[record.id]
        self._move(node, now)
        self._unsaid.nodes[record.id] = now

    def allow_report(self, node: str, now: float) -> bool:
        """Count a report; False if the node has used up `REPORTS_PER_S`."""
        entry = self._nodes[node]
        entry.tokens = min(REPORTS_PER_S, entry.tokens + max(0.0, now - entry.counted_at) * REPORTS_PER_S)
        entry.counted_at = now
        if entry.tokens < 1:
            return False
        entry.tokens -= 1
        return True

    def reported(self, node: str, state: NodeState, now: float) -> None:
        self._nodes[node].state = state
        self._unsaid.reports[node] = now

    def may_judge(self, now: float) -> bool:
        """Whether we were there for so long that silence means something."""
        return now - self._since > LEASE_S

    def shift(self, gap_s: float, now: float) -> None:
        """Nobody was there, or the clock was set: all begins anew."""
        self._since = now
        self._serving.clear()
        for node in self._nodes.values():
            node.last_seen += gap_s

    def known(self, now: float) -> list[NodeRecord]:
        """Nodes whose last call is not long ago."""
        return self.calling(now, self._known_s)

    def calling(self, now: float, within_s: float) -> list[NodeRecord]:
        """Nodes whose last call is not longer ago than that."""
        return [node.record for node in self._nodes.values() if now - node.last_seen <= within_s]

    def serving(self, model: str, kind: JobKind, priority: Priority, now: float) -> list[NodeRecord]:
        """Known nodes that take such jobs, though perhaps not from everyone."""
        key = (model, kind, work_of(kind, priority))
        kept = self._serving.get(key)
        if kept is None or now > kept.until:
            taking = [node for node in self._nodes.values() if node.record.takes(model, kind, priority)]
            known = [node for node in taking if now - node.last_seen <= self._known_s]
            until = min((node.last_seen for node in known), default=math.inf) + self._known_s
            kept = self._serving[key] = _Serving([node.record for node in known], until)
        return kept.nodes

    def _move(self, node: _Node, last_seen: float) -> None:
        if last_seen - node.last_seen > self._known_s:
            self._serving.clear()
        node.last_seen = last_seen

    def read(self, request: str, now: float) -> None:
        """A reader of this request is there."""
        self._unsaid.readers[request] = now
