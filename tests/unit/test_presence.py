"""Who was heard of lately."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gogrid_desktop.coordinator.presence import Presence
from gogrid_desktop.coordinator.store.records import NodeRecord
from gogrid_desktop.core.lease import Lease
from gogrid_desktop.protocol.grid import JobKind, NodeState, Priority

NODE = NodeRecord("n", "h", "name", "", "", 0.0, 0.0, None, ("m",), (JobKind.CHAT,), 100)
LEASE = Lease("j.1", "n", "p", 0.0, 0, False)


@pytest.fixture
def presence() -> Presence:
    it = Presence(now=0.0, known_s=900.0)
    it.saw(NODE, 0.0)
    return it


def test_a_lease_is_silent_twenty_seconds_after_it_was_last_held(presence: Presence) -> None:
    assert not presence.is_silent(LEASE, 20.0)
    assert presence.is_silent(LEASE, 20.1)
    presence.reported("n", NodeState(), ["j.1"], 15.0)
    assert not presence.is_silent(LEASE, 35.0)
    assert presence.is_silent(LEASE, 35.1)


def test_a_new_lease_is_not_silent_and_neither_is_one_after_a_start(presence: Presence) -> None:
    assert not presence.is_silent(replace(LEASE, granted_at=100.0), 119.0)
    assert not Presence(now=100.0, known_s=900.0).is_silent(LEASE, 119.0)


def test_a_gap_counts_as_held(presence: Presence) -> None:
    presence.reported("n", NodeState(), ["j.1"], 10.0)
    presence.shift(1000.0, 1010.0)
    assert not presence.is_silent(LEASE, 1030.0)
    assert presence.is_silent(LEASE, 1031.0)


def test_leases_that_ended_are_forgotten(presence: Presence) -> None:
    presence.reported("n", NodeState(), ["j.1", "j.2"], 15.0)
    presence.forget_all_but({"j.2"})
    assert presence.is_silent(LEASE, 30.0)
    assert not presence.is_silent(replace(LEASE, id="j.2"), 30.0)


def test_a_node_is_known_for_fifteen_minutes(presence: Presence) -> None:
    assert presence.serving("m", JobKind.CHAT, Priority.NORMAL, 900.0)
    assert not presence.serving("m", JobKind.CHAT, Priority.NORMAL, 900.1)
    assert not presence.serving("m", JobKind.EMBEDDING, Priority.NORMAL, 1.0)
    assert not presence.serving("x", JobKind.CHAT, Priority.NORMAL, 1.0)


def test_polls_from_the_reported_one_on_are_not_older(presence: Presence) -> None:
    for poll in ("a", "b", "c", "b"):
        presence.polled("n", poll)
    assert presence.polls_not_older("n", "b") == {"b", "c"}
    assert presence.polls_not_older("n", "not seen yet") == {"not seen yet"}


def test_ten_reports_in_a_second_are_allowed_and_the_next_is_not(presence: Presence) -> None:
    assert all(presence.allow_report("n", 1.0) for _ in range(10))
    assert not presence.allow_report("n", 1.0)
    assert presence.allow_report("n", 1.11)
    assert not presence.allow_report("n", 1.12)


def test_what_the_database_could_not_take_is_offered_again(presence: Presence) -> None:
    presence.read("r", 3.0)
    nodes, readers = presence.take_dirty()
    assert (nodes, readers) == ({"n": 0.0}, {"r": 3.0})
    assert presence.take_dirty() == ({}, {})
    presence.read("r", 5.0)
    presence.put_back(nodes, readers)
    assert presence.take_dirty() == ({"n": 0.0}, {"r": 5.0})
