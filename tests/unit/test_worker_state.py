"""The states of a worker and what may follow what."""

from __future__ import annotations

import pytest

from gogrid_desktop.core.worker_state import WorkerState as S
from gogrid_desktop.core.worker_state import is_loaded, may_follow

LEGAL = {
    (S.SPAWNING, S.LOADING),
    (S.LOADING, S.READY),
    (S.LOADING, S.FAILED),
    (S.READY, S.PROCESSING),
    (S.READY, S.EVICTING),
    (S.PROCESSING, S.IDLE),
    (S.PROCESSING, S.EVICTING),
    (S.IDLE, S.PROCESSING),
    (S.IDLE, S.EVICTING),
    (S.EVICTING, S.SPAWNING),
    (S.FAILED, S.LOADING),
    (S.DEAD, S.SPAWNING),
}


@pytest.mark.parametrize("before", S)
@pytest.mark.parametrize("after", S)
def test_only_the_drawn_transitions_are_legal(before: S, after: S) -> None:
    dies = after is S.DEAD and before is not S.DEAD
    assert may_follow(before, after) is (dies or (before, after) in LEGAL)


def test_a_worker_holds_a_model_from_ready_until_it_is_evicted() -> None:
    assert {state for state in S if is_loaded(state)} == {S.READY, S.PROCESSING, S.IDLE}


def test_every_state_can_be_reached_from_the_first() -> None:
    reached = {S.SPAWNING}
    while more := {after for before in reached for after in S if may_follow(before, after)} - reached:
        reached |= more
    assert reached == set(S)
