"""Drawing tokens: the right distribution, and the same draw again from the same position."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures_engine import no_grammar
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gogrid_desktop.protocol.grid import SamplingParams
from gogrid_desktop.worker.filters import candidates as filtered
from gogrid_desktop.worker.gumbel import gumbel
from gogrid_desktop.worker.likeliest import Logits
from gogrid_desktop.worker.sampling import BadLogits, Sampler, Vocabulary

LOGITS = np.log(np.array([0.4, 0.3, 0.15, 0.1, 0.05], dtype=np.float32))


def draw(logits: Logits, params: SamplingParams, position: int) -> int:
    """By `params` alone, without the tokens before it."""
    return Sampler(params, (), Vocabulary(logits.size, lambda _token: False, no_grammar)).draw(logits, position).token


def params(**values: float) -> SamplingParams:
    return SamplingParams.model_validate({"max_tokens": 1, "top_k": 0, **values})


def candidates(logits: NDArray[np.float32], params: SamplingParams) -> NDArray[np.intp]:
    return filtered(logits, params.top_k, params.top_p, params.min_p)


def test_temperature_zero_takes_the_most_likely_token() -> None:
    assert [draw(LOGITS, params(temperature=0), position) for position in range(50)] == [0] * 50


@pytest.mark.parametrize("temperature", [1e-300, 1e-9])
def test_a_temperature_near_zero_takes_the_most_likely_token(temperature: float) -> None:
    assert {draw(LOGITS, params(temperature=temperature), position) for position in range(50)} == {0}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(temperature: float) -> None:
    draws = 20_000
    counts = np.bincount([draw(LOGITS, params(temperature=temperature), i) for i in range(draws)], minlength=5)
    weights = np.exp(LOGITS.astype(np.float64) / temperature)
    expected = draws * weights / weights.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 18.47  # chi-square, 4 degrees of freedom, p = 0.001


@pytest.mark.parametrize("key", ["seed", "choice"])
def test_draws_of_other_seeds_and_choices_are_independent(key: str) -> None:
    one = [draw(LOGITS, params(), i) for i in range(5000)]
    other = [draw(LOGITS, params(**{key: 1}), i) for i in range(5000)]
    share = np.exp(LOGITS)
    assert np.mean(np.equal(one, other)) == pytest.approx(float((share * share).sum()), abs=0.03)


def test_the_noise_is_standard_gumbel() -> None:
    noise = gumbel(7, 0, 3, np.arange(100_000))
    assert noise.mean() == pytest.approx(0.5772, abs=0.02)
    assert noise.var() == pytest.approx(np.pi**2 / 6, abs=0.04)


def test_the_noise_is_pinned_because_nodes_of_all_versions_must_agree() -> None:
    assert gumbel(2**64 - 1, 3, 12345, np.array([0, 1, 49151])) == pytest.approx(
        [1.2541303265107626, 0.2857738556443775, 2.4940553117540283]
    )


@given(st.integers(0, 2**64 - 1), st.integers(0, 99), st.integers(0, 2**20), st.permutations(range(40)))
def test_the_noise_of_a_token_depends_on_no_other_candidate(seed: int, choice: int, at: int, order: list[int]) -> None:
    together = gumbel(seed, choice, at, np.array(order))
    alone = [gumbel(seed, choice, at, np.array([token]))[0] for token in order]
    assert together.tolist() == alone


def test_top_k_keeps_the_most_likely() -> None:
    assert candidates(LOGITS, params(top_k=2)).tolist() == [0, 1]


def test_top_k_of_at_least_the_vocabulary_keeps_all() -> None:
    assert candidates(LOGITS, params(top_k=5)).tolist() == [0, 1, 2, 3, 4]


def test_top_p_keeps_the_fewest_that_reach_the_sum() -> None:
    assert candidates(LOGITS, params(top_p=0.69)).tolist() == [0, 1]
    assert candidates(LOGITS, params(top_p=0.71)).tolist() == [0, 1, 2]


def test_top_p_zero_still_keeps_one() -> None:
    assert candidates(LOGITS, params(top_p=0)).tolist() == [0]


def test_min_p_is_relative_to_the_most_likely() -> None:
    assert candidates(LOGITS, params(min_p=0.3)).tolist() == [0, 1, 2]


def test_top_p_counts_only_what_top_k_left() -> None:
    # of 0.4 / 0.7 and 0.3 / 0.7 the first alone reaches 0.55
    assert candidates(LOGITS, params(top_k=2, top_p=0.55)).tolist() == [0]


def test_a_forbidden_token_is_never_drawn() -> None:
    logits = LOGITS.copy()
    logits[0] = -np.inf
    assert 0 not in {draw(logits, params(temperature=2), position) for position in range(500)}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused(value: float) -> None:
    logits = LOGITS.copy()
    logits[3] = value
    with pytest.raises(BadLogits):
        draw(logits, params(), 0)


def test_logits_that_forbid_everything_are_refused() -> None:
    with pytest.raises(BadLogits):
        draw(np.full(5, -np.inf, dtype=np.float32), params(), 0)
