"""Nobody crowds out the others, whichever replica is asked."""

from __future__ import annotations

from gogrid_desktop.coordinator.fairness import Fairness
from gogrid_desktop.coordinator.store.unsaid import Unsaid
from gogrid_desktop.protocol.grid import Priority


def test_what_an_account_asks_for_moves_its_next_request_back_and_nobody_elses() -> None:
    fairness = Fairness(Unsaid())
    places = [fairness.place(who, Priority.CRITICAL, 600.0, 10.0, 100.0) for who in ("a", "a", "a", "b")]
    assert places == [100.0, 110.0, 120.0, 100.0]
    assert fairness.place("a", Priority.CRITICAL, 600.0, 10.0, 500.0) == 500.0


def test_what_other_replicas_charged_counts_once_it_is_heard() -> None:
    unsaid = Unsaid()
    fairness = Fairness(unsaid)
    fairness.place("a", Priority.CRITICAL, 600.0, 10.0, 100.0)
    assert unsaid.take().charges == {"a": 10.0}
    fairness.place("a", Priority.CRITICAL, 600.0, 5.0, 100.0)  # after the database was told, before it answered
    fairness.place("b", Priority.CRITICAL, 600.0, 7.0, 100.0)
    fairness.learn({"a": 140.0, "c": 130.0}, 101.0)
    places = [fairness.place(who, Priority.CRITICAL, 600.0, 1.0, 101.0) for who in ("a", "b", "c", "d")]
    assert places == [145.0, 108.0, 130.0, 101.0]
