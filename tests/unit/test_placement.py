"""Several models on one machine: who makes room for whom, and that nobody is driven round in circles."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.core.placement import (
    RESIDENCE_S,
    WAIT_S,
    Fits,
    Move,
    Outcome,
    Resident,
    Waiting,
    idle_ones,
    pinned,
    place,
    share_out,
)
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Limits, Profile

NOW = 10_000.0
OLD = NOW - RESIDENCE_S


def room_for(total: int, **sizes: int) -> Fits:
    return lambda model, kept: sizes[model] + sum(sizes[other] for other in kept) <= total


def test_a_model_that_fits_beside_the_others_is_loaded_and_nothing_makes_room() -> None:
    there = [Resident("a", 3, OLD, NOW)]
    assert place(there, [Waiting("b", NOW)], NOW, room_for(2, a=1, b=1)) == (Move("b", Outcome.LOAD),)


def test_the_idle_model_used_longest_ago_makes_room_first_and_no_more_than_needed() -> None:
    there = [Resident("a", 0, OLD, NOW - 1), Resident("b", 0, OLD, NOW - 9), Resident("c", 1, OLD, NOW)]
    (move,) = place(there, [Waiting("d", NOW)], NOW, room_for(3, a=1, b=1, c=1, d=1))
    assert move == Move("d", Outcome.LOAD, ("b",))


def test_a_model_with_jobs_or_one_that_just_came_makes_no_room_and_the_job_waits() -> None:
    busy, young = Resident("a", 1, OLD, NOW), Resident("b", 0, NOW - RESIDENCE_S + 1, NOW - 20)
    assert pinned([busy, young], NOW) == {"a", "b"}
    assert place([busy, young], [Waiting("c", NOW)], NOW, room_for(2, a=1, b=1, c=1)) == (Move("c", Outcome.WAIT),)


def test_a_job_that_waited_long_enough_or_never_fits_is_handed_back() -> None:
    there = [Resident("a", 1, OLD, NOW)]
    assert place(there, [Waiting("b", NOW - WAIT_S)], NOW, room_for(1, a=1, b=1)) == (Move("b", Outcome.REFUSE),)
    assert place([], [Waiting("b", NOW)], NOW, room_for(1, b=2)) == (Move("b", Outcome.REFUSE),)


def test_an_idle_model_is_unloaded_after_the_set_time_and_one_with_jobs_never() -> None:
    there = [Resident("a", 0, OLD, NOW - 600), Resident("b", 0, OLD, NOW - 599), Resident("c", 1, OLD, NOW - 9999)]
    assert idle_ones(there, NOW, 9.0) == ("a", "b")
    assert idle_ones([Resident("a", 0, NOW - 600, NOW - 600)], NOW, 600.0) == ("a",)
    assert idle_ones([Resident("a", 0, NOW - 599, NOW - 9999)], NOW, 600.0) == ()


MODELS = ("a", "b", "c", "d")
sizes = st.fixed_dictionaries(dict.fromkeys(MODELS, st.integers(1, 6)))
moments = st.floats(0, 100)


@given(sizes, st.integers(1, 12), st.data())
def test_what_is_loaded_always_fits_and_only_what_may_go_makes_room(
    sizes: dict[str, int], total: int, data: st.DataObject
) -> None:
    names = data.draw(st.permutations(MODELS))
    split = data.draw(st.integers(0, 4))
    there: list[Resident] = []
    for name in names[:split]:
        if sum(sizes[one.model] for one in there) + sizes[name] <= total:
            there.append(
                Resident(name, data.draw(st.integers(0, 2)), NOW - data.draw(moments), NOW - data.draw(moments))
            )
    waiting = [Waiting(name, NOW - data.draw(moments)) for name in names[split:]]
    moves = place(there, waiting, NOW, room_for(total, **sizes))
    assert moves == place(there, list(reversed(waiting)), NOW, room_for(total, **sizes))
    assert sorted(move.model for move in moves) == sorted(one.model for one in waiting)
    gone = {model for move in moves for model in move.evict}
    assert gone.isdisjoint(pinned(there, NOW))
    assert gone <= {one.model for one in there}
    left = {one.model for one in there} - gone | {move.model for move in moves if move.outcome is Outcome.LOAD}
    assert sum(sizes[name] for name in left) <= total


@given(st.lists(st.sampled_from(("a", "b")), min_size=1, max_size=200))
def test_two_models_that_do_not_fit_together_change_places_no_faster_than_the_residence(asked: Sequence[str]) -> None:
    there: list[Resident] = []
    loads = 0
    for second, model in enumerate(asked):
        if there and there[0].model == model:
            there = [Resident(model, 0, there[0].since, second)]
            continue
        (move,) = place(there, [Waiting(model, second)], second, room_for(1, a=1, b=1))
        if move.outcome is Outcome.LOAD:
            loads += 1
            there = [Resident(model, 0, second, second)]
    assert loads <= 1 + len(asked) / RESIDENCE_S


limits = st.sampled_from([PROFILE_LIMITS[profile] for profile in Profile])


@given(limits, st.lists(st.sampled_from(MODELS), max_size=20))
def test_shares_of_the_node_add_up_to_no_more_than_the_node(limits: Limits, jobs: list[str]) -> None:
    shares = share_out(limits, jobs)
    assert set(shares) <= set(jobs)
    assert sum(share.compute_share for share in shares.values()) <= limits.compute_share + 1e-9
    if len(shares) > 1:
        assert sum(share.batch for share in shares.values()) <= limits.batch
    assert all(share.batch >= 1 and share.meet(limits) == share for share in shares.values())


def test_one_model_alone_has_the_whole_node() -> None:
    whole = PROFILE_LIMITS[Profile.BALANCED]
    assert share_out(whole, ["a", "a"]) == {"a": whole}
    assert share_out(whole, []) == {}
