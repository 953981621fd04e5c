"""What others use of a GPU: tables for the known cases, properties for all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.core.gpu_use import (
    GpuSample,
    GpuUses,
    ProcessSample,
    foreign_bytes,
    foreign_share,
    greatest_user,
)
from gogrid_desktop.system.gpu import Gpu, GpuProcess, GpuReading
from gogrid_desktop.system.gpu.samples import samples

GIB = 2**30
OURS = frozenset({7, 8})
CARD = GpuSample(0, 8 * GIB, 6 * GIB, 2 * GIB, 100.0, 0.5, (), 71.0, 93.0, True)


def on_it(*processes: tuple[int, int | None, float | None]) -> GpuSample:
    return replace(CARD, processes=tuple(ProcessSample(*process) for process in processes))


@pytest.mark.parametrize(
    ("sample", "ours", "share"),
    [
        (on_it(), OURS, 0.0),
        (on_it((7, GIB, 0.9)), OURS, 0.0),
        (on_it((7, GIB, 0.9), (41, GIB, 0.2), (42, GIB, 0.3)), OURS, 0.5),
        (on_it((41, GIB, 0.8), (42, GIB, 0.9)), OURS, 1.0),
        (on_it((41, GIB, 0.2), (41, GIB, 0.3)), OURS, 0.3),  # each process once
        (on_it((7, GIB, None), (41, GIB, None)), OURS, None),
        (on_it((7, GIB, 0.5), (41, GIB, None)), OURS, None),
        (on_it((7, GIB, None)), OURS, 0.0),  # nobody else is on it
        (on_it((41, GIB, None)), OURS, 0.5),  # none of ours is: all of it is theirs
        (replace(on_it((41, GIB, None)), utilisation=None), OURS, None),
        (replace(CARD, processes=None), OURS, None),
        (replace(CARD, processes=None), frozenset(), 0.5),
        (replace(CARD, processes=None, utilisation=None), frozenset(), None),
    ],
)
def test_the_share_of_others(sample: GpuSample, ours: frozenset[int], share: float | None) -> None:
    assert foreign_share(sample, ours) == (share if share is None else pytest.approx(share))


@pytest.mark.parametrize(
    ("sample", "ours", "held"),
    [
        (on_it(), OURS, 0),
        (on_it((7, GIB, 0.0), (41, 5, 0.0), (42, 6, 0.0)), OURS, 11),
        (on_it((41, 5, 0.0), (41, 9, 0.0)), OURS, 9),
        (on_it((7, GIB, 0.0), (41, None, 0.0)), OURS, GIB),
        (on_it((7, 3 * GIB, 0.0), (41, None, 0.0)), OURS, 0),
        (on_it((41, None, 0.0), (42, 5, 0.0)), OURS, 2 * GIB),
        (on_it((7, None, 0.0), (41, None, 0.0)), OURS, None),
        (on_it((7, None, 0.0), (41, 5, 0.0)), OURS, 5),
        (replace(CARD, processes=None), OURS, None),
        (replace(CARD, processes=None), frozenset(), 2 * GIB),
    ],
)
def test_the_memory_of_others(sample: GpuSample, ours: frozenset[int], held: int | None) -> None:
    assert foreign_bytes(sample, ours) == held


def low_high(uses: GpuUses, at: float, share: float | None, pid: int = 41) -> tuple[float | None, float | None]:
    (use,) = uses.take([replace(on_it((pid, GIB, share), (7, GIB, share)), sampled_at=at)], OURS, {})
    return use.foreign_low, use.foreign_high


def test_one_sample_alone_neither_trips_nor_lifts() -> None:
    uses = GpuUses()
    assert low_high(uses, 1.0, 0.1) == (0.1, 0.1)
    assert low_high(uses, 1.2, 0.9) == (0.1, 0.9)
    assert low_high(uses, 1.4, 0.8) == (0.8, 0.9)
    assert low_high(uses, 1.6, 0.0) == (0.0, 0.8)
    assert low_high(uses, 1.8, 0.0) == (0.0, 0.0)


def test_the_same_sample_read_twice_counts_once() -> None:
    uses = GpuUses()
    low_high(uses, 1.0, 0.1)
    assert [low_high(uses, 1.2, 0.9) for _ in range(3)] == [(0.1, 0.9)] * 3
    assert low_high(uses, 1.4, 0.9) == (0.9, 0.9)


def test_the_same_sample_is_judged_anew_when_a_process_turns_out_to_be_ours() -> None:
    uses = GpuUses()
    assert low_high(uses, 1.0, 0.9) == (0.9, 0.9)
    assert low_high(uses, 1.0, 0.9, pid=8) == (0.0, 0.0)


def test_one_unknown_sample_is_passed_over_and_two_are_unknown() -> None:
    uses = GpuUses()
    assert low_high(uses, 1.0, 0.4) == (0.4, 0.4)
    assert low_high(uses, 1.2, None) == (0.4, 0.4)
    assert low_high(uses, 1.4, None) == (None, None)
    assert low_high(uses, 1.6, 0.2) == (0.2, 0.2)


def test_what_was_seen_long_ago_says_nothing_of_now() -> None:
    uses = GpuUses()
    low_high(uses, 1.0, 0.9)
    assert low_high(uses, 100.0, 0.0) == (0.0, 0.0)


def test_a_gpu_that_was_away_starts_anew_and_each_has_its_own_past() -> None:
    uses = GpuUses()
    first, second = replace(on_it((41, 1, 0.9)), sampled_at=1.0), replace(CARD, index=1, sampled_at=1.0)
    assert [use.foreign_high for use in uses.take([first, second], OURS, {})] == [0.9, 0.0]
    uses.take([second], OURS, {})
    calm = replace(CARD, sampled_at=1.2)
    assert [use.foreign_high for use in uses.take([calm, second], OURS, {})] == [0.0, 0.0]


def test_what_else_is_known_is_handed_on_and_the_greatest_user_named() -> None:
    sample = on_it((7, GIB, 0.9), (41, 5, 0.2), (42, 6, 0.4))
    (use,) = GpuUses().take([sample], OURS, {41: "film", 42: "game"})
    assert (use.index, use.total_bytes, use.free_bytes) == (0, 8 * GIB, 6 * GIB)
    assert (use.temperature_c, use.slowdown_c, use.screen) == (71.0, 93.0, True)
    assert (use.program, use.foreign_bytes) == ("game", 11)
    assert GpuUses().take([sample], OURS, {41: "film"})[0].program == ""
    assert GpuUses().take([on_it((7, GIB, 0.9), (41, 5, 0.0))], OURS, {41: "film"})[0].program == ""


def test_a_reading_becomes_samples() -> None:
    gpu = Gpu(1, "A", "1", 8, 2, 6, 0.5, screen=True, processes=(GpuProcess(41, 5, 0.2),), sampled_at=3.0, slowdown_c=9)
    unsampled = replace(gpu, processes=None, sampled_at=0.0)
    first, second = samples(GpuReading((gpu, unsampled), "", 4.0))
    assert first == GpuSample(1, 8, 6, 2, 3.0, 0.5, (ProcessSample(41, 5, 0.2),), None, 9, True)
    assert (second.processes, second.sampled_at) == (None, 4.0)


processes = st.lists(
    st.builds(
        ProcessSample,
        st.integers(1, 12),
        st.none() | st.integers(0, 8 * GIB),
        st.none() | st.floats(0, 1),
    ),
    max_size=6,
)
readings = st.builds(
    lambda them, used, total: replace(
        CARD, processes=None if them is None else tuple(them), used_bytes=used, utilisation=total
    ),
    st.none() | processes,
    st.integers(0, 8 * GIB),
    st.none() | st.floats(0, 1),
)
pids = st.frozensets(st.integers(1, 12))


@given(readings, pids)
def test_a_share_is_a_share_and_bytes_are_not_negative(sample: GpuSample, ours: frozenset[int]) -> None:
    share, held = foreign_share(sample, ours), foreign_bytes(sample, ours)
    assert share is None or 0 <= share <= 1
    assert held is None or held >= 0


@given(processes, pids, st.floats(0, 1), st.integers(0, GIB), st.integers(13, 20))
def test_more_foreign_use_never_gives_less(
    them: list[ProcessSample], ours: frozenset[int], more: float, size: int, pid: int
) -> None:
    told = [replace(one, used_bytes=one.used_bytes or 0, utilisation=one.utilisation or 0.0) for one in them]
    before = replace(CARD, processes=tuple(told))
    after = replace(CARD, processes=(*told, ProcessSample(pid, size, more)))
    was, now = foreign_share(before, ours), foreign_share(after, ours)
    assert was is not None and now is not None and now >= was
    held, holds = foreign_bytes(before, ours), foreign_bytes(after, ours)
    assert held is not None and holds is not None and holds == held + size


@given(readings, st.floats(0, 1), st.floats(0, 1), st.integers(0, 8 * GIB))
def test_what_ours_use_never_counts(sample: GpuSample, one: float, other: float, size: int) -> None:
    ours = frozenset({99})
    if sample.processes is None:
        return
    seen = [
        replace(sample, processes=(*sample.processes, ProcessSample(99, size, share)), utilisation=share)
        for share in (one, other)
    ]
    assert foreign_share(seen[0], ours) == foreign_share(seen[1], ours)
    assert foreign_bytes(seen[0], ours) == foreign_bytes(seen[1], ours)
    assert greatest_user(seen[0], ours) == greatest_user(sample, ours)


@given(st.data(), readings, pids)
def test_the_order_of_processes_does_not_matter(data: st.DataObject, sample: GpuSample, ours: frozenset[int]) -> None:
    if sample.processes is None:
        return
    turned = replace(sample, processes=tuple(data.draw(st.permutations(sample.processes))))
    shares = foreign_share(sample, ours), foreign_share(turned, ours)
    assert shares[0] == (shares[1] if shares[1] is None else pytest.approx(shares[1]))
    assert foreign_bytes(sample, ours) == foreign_bytes(turned, ours)
    assert greatest_user(sample, ours) == greatest_user(turned, ours)


@given(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=8))
def test_low_and_high_are_those_of_the_last_two(shares: list[float | None]) -> None:
    uses, found = GpuUses(), None
    for number, share in enumerate(shares):
        found = low_high(uses, 1.0 + number, share)
    known = [share for share in shares[-2:] if share is not None]
    assert found == (min(known, default=None), max(known, default=None))
