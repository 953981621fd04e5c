"""The plan never takes more than it may, and more memory never makes it worse."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gogrid_desktop.core.memory_need import GIB, MIB, ComputeCost, KvType, compute_at_most, kv_types, line_through
from gogrid_desktop.core.model_facts import ModelFacts
from gogrid_desktop.core.quantization import Quantization
from gogrid_desktop.core.vram import (
    NoFit,
    Plan,
    Space,
    Wish,
    budget_bytes,
    plan,
    reserve_bytes,
    too_big,
)

PLENTY = Space(-1, 2**64 - 1)


def model(
    layers: int = 32,
    layer_mib: int = 120,
    output_mib: int = 400,
    kv_heads: int = 8,
    head: int = 128,
    recurrent: int = 0,
) -> ModelFacts:
    return ModelFacts(
        architecture="llama",
        layers=layers,
        embedding=4096,
        heads=(32,) * layers,
        kv_heads=(kv_heads,) * layers,
        key_length=head,
        value_length=head,
        feed_forward=(14_336,) * layers,
        experts=0,
        experts_used=0,
        expert_feed_forward=0,
        shared_feed_forward=0,
        sliding_window=0,
        vocabulary=128_256,
        trained_context=131_072,
        pooling="",
        caches=True,
        recurrent_values=recurrent,
        parameters=8_000_000_000,
        quantization=Quantization("Q4_K_M", "4-bit", 4.5),
        layer_bytes=(layer_mib * MIB,) * layers,
        input_bytes=output_mib * MIB,
        output_bytes=output_mib * MIB,
    )


EIGHT = model()
WISH = Wish(context=4096, slots=8, least_context=1024)

sizes = st.one_of(st.sampled_from([0, 1, 2**30, 4 * GIB, 24 * GIB, 2**63, 2**64 - 1]), st.integers(0, 64 * GIB))
models = st.builds(
    model,
    layers=st.integers(1, 60),
    layer_mib=st.integers(1, 400),
    output_mib=st.integers(0, 900),
    kv_heads=st.integers(0, 16),
    head=st.sampled_from([64, 80, 128, 192]),
    recurrent=st.sampled_from([0, 100_000]),
)
wishes = st.builds(
    Wish,
    context=st.integers(1, 40_000),
    slots=st.integers(1, 64),
    least_context=st.integers(1, 40_000),
    least_slots=st.integers(1, 8),
    most_gpu_layers=st.sampled_from([-1, 0, 1, 7, 10_000]),
)
computes = st.builds(ComputeCost, st.integers(0, GIB), st.integers(0, 50 * MIB))


def spaces(free: list[int]) -> list[Space]:
    return [Space(index, size) for index, size in enumerate(free)]


# --- budgets ---------------------------------------------------------------------------------------------------------


@given(sizes, sizes, st.one_of(st.floats(), st.sampled_from([0.0, 0.5, 0.95, 1.0])), sizes)
def test_a_budget_is_between_nothing_and_what_is_given_and_what_is_left(
    total: int, foreign: int, fraction: float, reserve: int
) -> None:
    budget = budget_bytes(total, foreign, fraction, reserve)
    assert 0 <= budget <= total
    assert budget <= max(0, total - foreign - reserve)
    if 0 <= fraction <= 1:
        assert budget <= fraction * total * (1 + 2**-52)


@pytest.mark.parametrize("total", [0, 1, 8 * GIB, 2**64 - 1])
def test_no_share_is_nothing_and_the_whole_share_is_all_but_what_others_hold_and_the_reserve(total: int) -> None:
    assert budget_bytes(total, 0, 0.0, 0) == 0
    assert budget_bytes(total, 0, 1.0, 0) == total
    assert budget_bytes(total, 0, float("nan"), 0) == 0
    assert budget_bytes(total, total, 1.0, 0) == 0
    assert budget_bytes(total, 1, 1.0, 1) == max(0, total - 2)


@given(sizes, sizes, sizes, st.floats(0, 1), st.floats(0, 1))
def test_foreign_use_only_lowers_a_budget_and_a_larger_share_only_raises_it(
    total: int, foreign: int, more: int, fraction: float, other: float
) -> None:
    assert budget_bytes(total, foreign + more, fraction, 0) <= budget_bytes(total, foreign, fraction, 0)
    low, high = sorted((fraction, other))
    assert budget_bytes(total, foreign, low, 0) <= budget_bytes(total, foreign, high, 0)


@pytest.mark.parametrize(
    ("total_gib", "gentle", "reserve"),
    [(8, True, 3 * GIB // 2), (24, True, 24 * GIB * 15 // 100), (4, False, 256 * MIB), (24, False, 24 * GIB // 20)],
)
def test_the_reserve_is_larger_where_somebody_looks_at_the_screen(total_gib: int, gentle: bool, reserve: int) -> None:
    assert reserve_bytes(total_gib * GIB, gentle=gentle) == reserve


# --- plans -----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(models, wishes, st.lists(sizes, max_size=4), sizes, computes)
def test_no_plan_takes_more_than_it_may_of_any_gpu_or_of_the_host(
    facts: ModelFacts, wish: Wish, free: list[int], host: int, compute: ComputeCost
) -> None:
    made = plan(facts, wish, spaces(free), Space(-1, host), compute)
    if isinstance(made, NoFit):
        assert made.short_bytes > 0
        return
    for share in made.shares:
        assert share.layers > 0 and 0 < share.total_bytes <= free[share.index]
    assert 0 <= made.host.total_bytes <= host
    assert sum(share.layers for share in made.shares) == made.gpu_layers <= facts.layers + 1
    assert made.gpu_layers + made.host.layers == facts.layers + 1
    assert min(wish.context, wish.least_context) <= made.context <= wish.context
    assert min(wish.slots, wish.least_slots) <= made.slots <= wish.slots
    assert made.cells >= made.context and made.cells % 256 == 0
    if wish.most_gpu_layers >= 0:
        assert made.gpu_layers <= wish.most_gpu_layers


@settings(deadline=None)
@given(models, wishes, st.lists(sizes, max_size=4), sizes, computes, st.data())
def test_more_memory_never_gives_a_worse_plan(
    facts: ModelFacts, wish: Wish, free: list[int], host: int, compute: ComputeCost, data: st.DataObject
) -> None:
    more = [size + data.draw(sizes) for size in free]
    less = plan(facts, wish, spaces(free), Space(-1, host), compute)
    better = plan(facts, wish, spaces(more), Space(-1, host + data.draw(sizes)), compute)
    if isinstance(less, Plan):
        assert isinstance(better, Plan)
        assert not less.better_than(better)


@settings(deadline=None)
@given(models, wishes, st.permutations(spaces([4 * GIB, 24 * GIB, 11 * GIB])), computes)
def test_a_plan_depends_on_what_there_is_and_not_on_the_order_in_which_it_is_told(
    facts: ModelFacts, wish: Wish, shuffled: list[Space], compute: ComputeCost
) -> None:
    ordered = sorted(shuffled, key=lambda space: space.index)
    assert plan(facts, wish, shuffled, PLENTY, compute) == plan(facts, wish, ordered, PLENTY, compute)


@settings(deadline=None)
@given(models, st.sampled_from([(4, 24), (24, 4)]), computes)
def test_two_unequal_gpus_hold_at_least_what_the_larger_one_holds_alone(
    facts: ModelFacts, gib: tuple[int, int], compute: ComputeCost
) -> None:
    both = plan(facts, WISH, spaces([size * GIB for size in gib]), PLENTY, compute)
    large = plan(facts, WISH, [Space(gib.index(24), 24 * GIB)], PLENTY, compute)
    if isinstance(large, Plan):
        assert isinstance(both, Plan) and not large.better_than(both)


@settings(deadline=None)
@given(models, st.lists(st.integers(GIB, 40 * GIB), min_size=1, max_size=5), computes)
def test_llama_cpp_puts_each_layer_where_it_was_planned(
    facts: ModelFacts, free: list[int], compute: ComputeCost
) -> None:
    made = plan(facts, WISH, spaces(free), PLENTY, compute)
    if isinstance(made, NoFit):
        return
    ends = [total / sum(made.tensor_split) for total in accumulate(made.tensor_split)]
    put = [bisect_right(ends, layer / made.gpu_layers) for layer in range(made.gpu_layers)]
    assert [put.count(number) for number in range(len(made.shares))] == [share.layers for share in made.shares]


@given(models, wishes, st.lists(st.sampled_from([0, 1]), max_size=2), st.sampled_from([0, 1]))
def test_nothing_fits_no_memory(facts: ModelFacts, wish: Wish, free: list[int], host: int) -> None:
    assert isinstance(plan(facts, wish, spaces(free), Space(-1, host), ComputeCost(0, 0)), NoFit)


def test_endless_memory_gives_the_whole_wish() -> None:
    made = plan(EIGHT, WISH, spaces([2**64 - 1]), PLENTY, compute_at_most(EIGHT, 512, 32))
    assert isinstance(made, Plan)
    assert (made.gpu_layers, made.kv_type, made.context, made.slots) == (33, KvType.F16, 4096, 8)
    assert made.why.startswith("all 33 layers in GPU 0 (") and "to fit" not in made.why


def given_up(made: Plan, wish: Wish) -> list[str]:
    """What the plan has less of, out of slots, context, precision and layers."""
    less = {
        "cells": not made.own_cells,
        "slots": made.slots < wish.slots,
        "context": made.context < wish.context,
        "precision": made.kv_type is not KvType.F16,
        "layers": made.gpu_layers < 33,
    }
    return [name for name, is_less in less.items() if is_less]


def test_own_cells_go_before_slots_then_context_then_precision_and_layers_last() -> None:
    order = ("cells", "slots", "context", "precision", "layers")
    worst = 0
    for mib in range(12_000, 0, -16):
        made = plan(EIGHT, WISH, spaces([mib * MIB]), PLENTY, compute_at_most(EIGHT, 512, 32))
        if isinstance(made, Plan):
            now = max((order.index(name) + 1 for name in given_up(made, WISH)), default=0)
            assert worst <= now <= worst + 1, "less memory costs one thing more at a time, in this order"
            worst = now
    assert worst == len(order)


def test_a_model_that_one_gpu_holds_is_not_split_and_one_that_it_does_not_hold_is_split_by_room() -> None:
    alone = plan(EIGHT, WISH, spaces([4 * GIB, 24 * GIB]), PLENTY, ComputeCost(0, 0))
    assert isinstance(alone, Plan) and [share.index for share in alone.shares] == [1]
    big = model(layers=80, layer_mib=320)
    split = plan(big, WISH, spaces([12 * GIB, 24 * GIB]), PLENTY, ComputeCost(0, 0))
    assert isinstance(split, Plan) and split.gpu_layers == 81
    first, second = (share.total_bytes / GIB for share in split.shares)
    assert first / 12 == pytest.approx(second / 24, abs=0.06)


def test_less_than_half_of_the_layers_on_a_gpu_is_no_plan_unless_the_person_says_so() -> None:
    compute = ComputeCost(0, 0)
    refused = plan(EIGHT, WISH, spaces([2 * GIB]), PLENTY, compute)
    assert isinstance(refused, NoFit)
    assert refused.why == "it needs 2.8 GiB or more, and 2.0 GiB may be used"
    few = plan(EIGHT, replace(WISH, most_gpu_layers=5), spaces([2 * GIB]), PLENTY, compute)
    assert isinstance(few, Plan) and few.gpu_layers == 5
    none = plan(EIGHT, replace(WISH, most_gpu_layers=0), spaces([2 * GIB]), PLENTY, compute)
    assert isinstance(none, Plan) and none.shares == () and none.why.startswith("all 33 layers in memory (")


def test_it_is_said_when_the_hosts_memory_is_what_lacks() -> None:
    refused = plan(EIGHT, WISH, spaces([24 * GIB]), Space(-1, GIB // 2), ComputeCost(0, 0))
    assert isinstance(refused, NoFit)
    assert "of the host's memory" in refused.why


def test_a_cache_is_quantized_only_where_llama_cpp_can() -> None:
    assert kv_types(EIGHT) == (KvType.F16, KvType.Q8_0)
    assert kv_types(replace(EIGHT, value_length=64)) == (KvType.F16,)
    assert kv_types(replace(EIGHT, key_length=80, value_length=80)) == (KvType.F16,)
    assert kv_types(replace(EIGHT, caches=False)) == (KvType.F16,)


@given(
    st.lists(st.tuples(st.integers(0, 2**36), st.integers(0, 2**24)), min_size=1, max_size=6),
    st.integers(1, 2**20),
    st.integers(0, 2**20),
    st.floats(0, 1),
)
def test_the_line_between_two_measurements_is_never_below_a_peak_of_lines(
    lines: list[tuple[int, int]], first: int, more: int, at: float
) -> None:
    def peak(cells: int) -> int:
        return max(fixed + slope * cells for fixed, slope in lines)

    second = first + more
    line = line_through((first, peak(first)), (second, peak(second)))
    between = first + int(at * more)
    assert line.at(between) >= peak(between)


def test_more_than_may_be_held_is_said_and_less_is_not() -> None:
    assert too_big(3 * GIB, 4 * GIB, 4 * GIB) == ""
    said = too_big(3 * GIB, 4 * GIB + 200 * MIB, 4 * GIB)
    assert said == "it takes 4.2 GiB, where 3.0 GiB were planned and 4.0 GiB may be used"
