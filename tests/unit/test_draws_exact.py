"""What is skipped for speed changes nothing: filters and draws equal the plain method, over a whole vocabulary too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gogrid_desktop.worker.filters import candidates
from gogrid_desktop.worker.gumbel import gumbel, winner
from gogrid_desktop.worker.likeliest import likeliest, reached_by

Logits = NDArray[np.float32]
Ids = NDArray[np.intp]

SEEDS = st.integers(0, 2**64 - 1)
SHARES = st.one_of(st.sampled_from([0.0, 1.0, 1 - 1e-12]), st.floats(0, 1))


@st.composite
def vocabularies(draw: st.DrawFn) -> Logits:
    """Peaked, flat, tied or with forbidden tokens; small ones, and ones that take the quick ways."""
    size = draw(st.sampled_from([1, 2, 7, 100, 1025, 5000, 9001]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = random.normal(0, draw(st.sampled_from([0.0, 0.1, 3.0, 20.0])), size)
    if draw(st.booleans()):
        logits = np.round(logits)
    if draw(st.booleans()):
        logits[random.random(size) < 0.7] = -np.inf
    logits[int(random.integers(size))] = draw(st.sampled_from([0.0, 10.0, 60.0]))
    return logits.astype(np.float32)


def plain_candidates(logits: Logits, top_k: int, top_p: float, min_p: float) -> Ids:
    order = np.argsort(-logits, kind="stable")
    order = order[logits[order] > -np.inf]
    if 0 < top_k < logits.size:
        order = order[logits[order] >= logits[order[min(top_k, order.size) - 1]]]
    if top_p < 1:
        weights = np.exp(logits[order] - logits[order[0]])
        total = weights[np.argsort(order)].sum(dtype=np.float64)
        enough = np.flatnonzero(np.cumsum(weights, dtype=np.float64) >= top_p * total)
        order = order[: int(enough[0]) + 1] if enough.size else order
    if min_p > 0:
        order = order[logits[order] >= logits[order[0]] + np.log(min_p)]
    return np.sort(order)


@settings(deadline=None)
@given(vocabularies(), st.sampled_from([0, 1, 2, 40, 600, 5000, 10**6]), SHARES, SHARES)
def test_the_candidates_are_those_of_a_full_sort(logits: Logits, top_k: int, top_p: float, min_p: float) -> None:
    expected = plain_candidates(logits, top_k, top_p, min_p)
    assert candidates(logits, top_k, top_p, min_p).tolist() == expected.tolist()
    assert expected.size


@settings(deadline=None)
@given(vocabularies(), st.sampled_from([1e-300, 1e-6, 0.3, 1.0, 2.0]), SEEDS, st.integers(0, 3), st.integers(0, 10**6))
def test_the_winner_is_the_one_with_the_highest_score_of_all(
    logits: Logits, temperature: float, seed: int, choice: int, position: int
) -> None:
    ids = np.flatnonzero(logits > -np.inf)
    kept = logits[ids]
    with np.errstate(over="ignore"):
        scores = (kept.astype(np.float64) - kept.max()) / temperature
    expected = ids[np.argmax(scores + gumbel(seed, choice, position, ids))]
    assert winner(kept, ids, temperature, seed, choice, position) == expected


def test_an_unlikely_token_with_rare_noise_wins_over_a_whole_vocabulary() -> None:
    ids = np.arange(50_000)
    logits = np.zeros(50_000, dtype=np.float32)
    logits[:100] = 3.0  # 100 * e^3 against 49,900: most draws come from below the first hundred
    drawn = [winner(logits, ids, 1.0, seed, 0, 0) for seed in range(400)]
    share = float(np.mean(np.array(drawn) >= 100))
    assert share == pytest.approx(49_900 / (49_900 + 100 * np.e**3), abs=0.03)


@given(vocabularies(), st.integers(1, 700))
def test_so_many_logits_reach_the_bound_as_asked(logits: Logits, count: int) -> None:
    if count <= logits.size:
        assert (logits >= reached_by(logits, count)).sum() >= count


@given(vocabularies(), st.integers(1, 10**4))
def test_the_likeliest_leave_none_behind_that_is_as_likely(logits: Logits, count: int) -> None:
    ids = likeliest(logits, count)
    rest = np.delete(logits, ids)
    assert ids.size >= min(count, int((logits > -np.inf).sum()))
    assert not (rest > -np.inf).any() or logits[ids].min() > rest.max()
