"""Who was heard of lately."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gogrid_desktop.coordinator.presence import Presence
from gogrid_desktop.coordinator.store.records import NodeRecord
from gogrid_desktop.coordinator.store.unsaid import Unsaid
from gogrid_desktop.protocol.grid import JobKind, NodeState, Priority

NODE = NodeRecord("n", "h", "name", "", "", 0.0, 0.0, None, ("m",), (JobKind.CHAT,), 100)


@pytest.fixture
def unsaid() -> Unsaid:
    return Unsaid()


@pytest.fixture
def presence(unsaid: Unsaid) -> Presence:
    it = Presence(0.0, 900.0, unsaid)
    it.saw(NODE, 0.0)
    return it


def test_silence_means_something_only_after_we_were_there_for_as_long(presence: Presence) -> None:
    assert not presence.may_judge(20.0)
    assert presence.may_judge(20.1)
    presence.shift(1000.0, 1020.1)
    assert not presence.may_judge(1040.0)


def test_a_gap_forgets_nobody(presence: Presence) -> None:
    presence.shift(1000.0, 1000.0)
    assert presence.known(1900.0)
    assert not presence.known(1900.1)


def test_a_node_is_known_for_fifteen_minutes(presence: Presence) -> None:
    assert presence.serving("m", JobKind.CHAT, Priority.NORMAL, 900.0)
    assert not presence.serving("m", JobKind.CHAT, Priority.NORMAL, 900.1)
    assert not presence.serving("m", JobKind.EMBEDDING, Priority.NORMAL, 1.0)
    assert not presence.serving("x", JobKind.CHAT, Priority.NORMAL, 1.0)


def test_what_another_replica_heard_counts(presence: Presence) -> None:
    presence.heard({"n": 50.0, "stranger": 60.0})
    assert presence.calling(60.0, 10.0) == [NODE]
    presence.heard({"n": 40.0})
    assert presence.calling(60.0, 10.0) == [NODE]
    other = replace(NODE, id="o", models=("x",), last_seen=58.0)
    presence.learn([other, replace(NODE, models=("y",))])
    assert [(one.id, one.models) for one in presence.calling(60.0, 10.0)] == [("n", ("y",)), ("o", ("x",))]


def test_ten_reports_in_a_second_are_allowed_and_the_next_is_not(presence: Presence) -> None:
    assert all(presence.allow_report("n", 1.0) for _ in range(10))
    assert not presence.allow_report("n", 1.0)
    assert presence.allow_report("n", 1.11)
    assert not presence.allow_report("n", 1.12)


def test_what_the_database_could_not_take_is_offered_again(presence: Presence, unsaid: Unsaid) -> None:
    presence.read("r", 3.0)
    presence.reported("n", NodeState(), 2.0)
    unsaid.charge("a", 5.0)
    taken = unsaid.take()
    assert taken == Unsaid({"n": 0.0}, {"n": 2.0}, {"r": 3.0}, {"a": 5.0})
    assert not unsaid
    presence.read("r", 5.0)
    unsaid.charge("a", 1.0)
    unsaid.put_back(taken)
    assert unsaid.take() == Unsaid({"n": 0.0}, {"n": 2.0}, {"r": 5.0}, {"a": 6.0})
