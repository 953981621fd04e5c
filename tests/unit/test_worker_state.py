"""The states of a worker and what may follow what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.core.worker_state import IllegalTransition, LifeCycle, Moment, Transition, is_loaded, may_follow
from gogrid_desktop.core.worker_state import WorkerState as S

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


@given(st.sampled_from(S), st.lists(st.sampled_from(S), max_size=40))
def test_whatever_is_asked_of_it_a_life_takes_legal_steps_alone_and_each_is_seen_once(first: S, asked: list[S]) -> None:
    seen: list[Transition] = []
    life = LifeCycle(first, dict.fromkeys(Moment, seen.append))
    for state in asked:
        before, told = life.state, len(seen)
        if state is before:
            assert not life.become(state)
        elif may_follow(before, after=state):
            assert life.become(state, "because")
        else:
            with pytest.raises(IllegalTransition, match=f"{state} cannot follow {before}"):
                life.become(state)
        assert life.state is (state if may_follow(before, after=state) else before)
        assert len(seen) - told == (life.state is not before)
    assert all(may_follow(one.before, after=one.after) for one in seen)
    assert [one.after for one in seen[:-1]] == [one.before for one in seen[1:]]


def test_an_observer_hears_of_its_moment_alone_and_after_the_change() -> None:
    states: list[tuple[S, str]] = []
    life = LifeCycle(observers={Moment.READY: lambda seen: states.append((life.state, seen.detail))})
    for state in (S.LOADING, S.READY, S.PROCESSING, S.IDLE, S.EVICTING, S.SPAWNING):
        life.become(state, state.value)
    assert states == [(S.READY, "ready")]


def test_every_state_has_a_moment_of_its_own() -> None:
    moments = [Transition(S.SPAWNING, state).moment for state in S]
    assert sorted(moments) == sorted(Moment)


def test_the_state_of_a_life_cannot_be_set_by_hand() -> None:
    life = LifeCycle()
    with pytest.raises(AttributeError):
        life.state = S.READY  # type: ignore[misc]
    with pytest.raises(AttributeError):
        life.other = 1  # type: ignore[attr-defined]
