"""A sequence's sampler: penalties, bias, log-probabilities, a grammar, and the same state after a replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gogrid_desktop.core.gbnf import GrammarError
from gogrid_desktop.protocol.grid import SamplingParams
from gogrid_desktop.worker.filters import candidates
from gogrid_desktop.worker.gumbel import winner
from gogrid_desktop.worker.sampling import NOTHING, Drawn, Incompatible, Sampler, SamplingRejected, Vocabulary

SIZE = 2000
END = 0
Logits = NDArray[np.float32]


class Words:
    """A grammar that permits the ids of one set, then those of the next, and the end after the last."""

    def __init__(self, *sets: Sequence[int]) -> None:
        self._sets = [np.unique(np.array(one, dtype=np.intp)) for one in sets] + [np.array([END])]
        self.closed = False
        self.questions: list[int] = []

    def permits(self, ids: NDArray[np.intp]) -> NDArray[np.bool_]:
        self.questions.append(ids.size)
        return np.isin(ids, self._sets[0])

    def permitted(self) -> NDArray[np.intp]:
        self.questions.append(SIZE)
        return self._sets[0]

    def accept(self, token: int) -> None:
        assert token in self._sets[0], "llama.cpp would end the process"
        del self._sets[0]

    def close(self) -> None:
        self.closed = True


def sampler(words: Words | None = None, prompt: Sequence[int] = (), **values: Any) -> Sampler:
    def opened(_text: str) -> Words:
        if words is None:
            raise GrammarError("The grammar is none.")
        return words

    values |= {"grammar": "root ::= words"} if words is not None else {}
    params = SamplingParams.model_validate({"max_tokens": 1, "top_k": 0, **values})
    return Sampler(params, prompt, Vocabulary(SIZE, lambda token: token == END, opened))


def logits_of(seed: int = 0, **values: float) -> Logits:
    logits = np.random.default_rng(seed).normal(0, 3, SIZE).astype(np.float32)
    for name, value in values.items():
        logits[int(name[1:])] = value
    return logits


def greedy(logits: Logits, accepted: Sequence[int] = (), prompt: Sequence[int] = (), **values: Any) -> int:
    one = sampler(None, prompt, temperature=0, **values)
    for token in accepted:
        one.accept(token)
    return one.draw(logits, len(accepted)).token


def test_a_bias_of_100_selects_and_of_minus_100_bans() -> None:
    logits = logits_of(t5=30)
    assert greedy(logits) == 5
    assert greedy(logits, logit_bias={5: -100}) != 5
    assert greedy(logits, logit_bias={9: 100}) == 9


def test_a_bias_outside_the_vocabulary_is_refused_with_words() -> None:
    with pytest.raises(SamplingRejected) as caught:
        sampler(logit_bias={5: 1, SIZE: 1})
    assert caught.value.param == "logit_bias"
    assert caught.value.message == (
        "logit_bias = 2000 is not allowed: a token id of this model, 0 to 1999. Leave that token out."
    )


def test_the_repetition_penalty_divides_what_is_likely_and_multiplies_what_is_not() -> None:
    logits = np.full(SIZE, -50, dtype=np.float32)
    logits[[7, 8]] = 10, 6
    assert greedy(logits, prompt=[7], repetition_penalty=1.5) == 7  # 6.67 against 6
    assert greedy(logits, prompt=[7], repetition_penalty=2) == 8
    logits[[7, 8]] = -4, -7
    assert greedy(logits, accepted=[7], repetition_penalty=1.5) == 7  # -6 against -7
    assert greedy(logits, accepted=[7], repetition_penalty=2) == 8


def test_the_repetition_penalty_forgets_what_left_its_window() -> None:
    logits = logits_of(t7=30, t8=29)
    penalised = {"repetition_penalty": 2, "penalty_last_n": 3}
    assert greedy(logits, accepted=[1, 2], prompt=[7], **penalised) == 8
    assert greedy(logits, accepted=[1, 2, 3], prompt=[7], **penalised) == 7
    assert greedy(logits, accepted=[1, 2, 3], prompt=[7], repetition_penalty=2, penalty_last_n=-1) == 8
    assert greedy(logits, accepted=[7], repetition_penalty=2, penalty_last_n=0) == 7


def test_frequency_counts_each_time_and_presence_once_and_neither_the_prompt() -> None:
    logits = logits_of(t7=31, t8=30)
    assert greedy(logits, prompt=[7] * 9, frequency_penalty=2, presence_penalty=2) == 7
    assert greedy(logits, accepted=[7], frequency_penalty=0.75) == 7
    assert greedy(logits, accepted=[7, 7], frequency_penalty=0.75) == 8
    assert greedy(logits, accepted=[7, 7], presence_penalty=0.75) == 7
    assert greedy(logits, accepted=[7], presence_penalty=1.25) == 8


@given(
    st.lists(st.integers(0, 40), max_size=30),
    st.lists(st.integers(0, 40), max_size=30),
    st.sampled_from([-1, 1, 3, 64]),
    st.sampled_from([0.5, 1.0, 1.3]),
    st.sampled_from([-1.0, 0.0, 0.5]),
)
def test_penalties_equal_llama_cpps_formula_token_by_token(
    prompt: list[int], answer: list[int], window: int, repetition: float, other: float
) -> None:
    logits = logits_of(3)
    expected = logits.astype(np.float64)
    recent = (prompt + answer)[-window:] if window > 0 else prompt + answer
    for token in range(41):
        if token in recent:
            expected[token] = expected[token] * repetition if expected[token] <= 0 else expected[token] / repetition
        expected[token] -= answer.count(token) * other + (token in answer) * other / 2
    chosen = greedy(
        logits,
        answer,
        prompt,
        repetition_penalty=repetition,
        penalty_last_n=window,
        frequency_penalty=other,
        presence_penalty=other / 2,
    )
    assert expected[chosen] == pytest.approx(expected.max(), abs=1e-4)


def test_the_logits_are_only_read() -> None:
    logits = logits_of()
    logits.flags.writeable = False
    one = sampler(Words(range(900)), frequency_penalty=1, repetition_penalty=1.2, logit_bias={3: 4}, logprobs=2)
    one.accept(4)
    assert one.draw(logits, 1).end


def test_log_probabilities_are_those_of_the_models_own_logits() -> None:
    logits = logits_of(t7=12, t8=11)
    drawn = sampler(temperature=0, logit_bias={8: 50}, presence_penalty=1, logprobs=2).draw(logits, 0)
    exact = logits.astype(np.float64) - np.log(np.exp(logits.astype(np.float64)).sum())
    assert (drawn.token, drawn.logprob) == (8, pytest.approx(exact[8], abs=1e-5))
    assert [token for token, _ in drawn.top] == [7, 8]
    assert [value for _, value in drawn.top] == pytest.approx([exact[7], exact[8]], abs=1e-5)


def test_without_a_wish_for_them_there_are_no_log_probabilities() -> None:
    assert sampler(temperature=0).draw(logits_of(t7=20), 0) == Drawn(7, end=False)
    alone = sampler(temperature=0, logprobs=0).draw(logits_of(t7=20), 0)
    assert alone.logprob is not None
    assert alone.top == ()


def test_of_equally_likely_tokens_the_lower_id_is_reported_first_and_no_more_than_asked() -> None:
    logits = np.zeros(SIZE, dtype=np.float32)
    logits[5] = -np.inf
    assert [token for token, _ in sampler(logprobs=3).draw(logits, 0).top] == [0, 1, 2]


def test_an_impossible_token_has_a_finite_log_probability() -> None:
    logits = np.full(SIZE, -30_000, dtype=np.float32)
    logits[3] = 30_000
    drawn = sampler(Words([9]), temperature=0, logprobs=1).draw(logits, 0)
    assert (drawn.token, drawn.logprob) == (9, -9999.0)


FILTERS = st.fixed_dictionaries(
    {
        "top_k": st.sampled_from([0, 1, 5, 40]),
        "top_p": st.sampled_from([0.3, 0.95, 1.0]),
        "min_p": st.sampled_from([0.0, 0.1]),
        "temperature": st.sampled_from([0.0, 0.7, 1.5]),
        "seed": st.integers(0, 2**64 - 1),
    }
)


@given(
    FILTERS,
    st.integers(0, 9),
    st.one_of(st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=60), st.just(list(range(1, SIZE, 2)))),
)
def test_a_grammar_draws_as_if_all_that_it_forbids_were_minus_infinity(
    filters: dict[str, Any], at: int, words: list[int]
) -> None:
    logits = logits_of(at)
    masked = np.full(SIZE, -np.inf, dtype=np.float32)
    masked[words] = logits[words]
    drawn = sampler(Words(words), **filters).draw(logits, at).token
    if filters["temperature"] == 0:
        assert drawn == int(np.argmax(masked))
        return
    ids = candidates(masked, filters["top_k"], filters["top_p"], filters["min_p"])
    assert drawn == winner(masked[ids], ids, filters["temperature"], filters["seed"], 0, at)


def test_a_grammar_is_asked_about_few_tokens_where_these_settle_it() -> None:
    words = Words(range(SIZE))
    sampler(words, top_k=40).draw(logits_of(), 0)
    assert sum(words.questions) < 60


def test_the_end_comes_where_the_grammar_permits_it_and_only_there() -> None:
    one = sampler(Words([4], [5]), temperature=0)
    logits = logits_of(t0=90)
    drawn = [one.draw(logits, 0)]
    for position, token in enumerate((4, 5), 1):
        one.accept(token)
        drawn.append(one.draw(logits, position))
    assert [(each.token, each.end) for each in drawn] == [(4, False), (5, False), (END, True)]


@pytest.mark.parametrize("values", [{"temperature": 0}, {"temperature": 1}, {"top_k": 40}])
def test_a_grammar_that_permits_nothing_more_ends_the_generation(values: dict[str, Any]) -> None:
    assert sampler(Words([]), logprobs=3, **values).draw(logits_of(), 0) == Drawn(NOTHING, end=True)


def test_a_grammar_that_permits_only_what_the_model_rules_out_ends_the_generation() -> None:
    assert sampler(Words([6])).draw(logits_of(t6=-np.inf), 0).end


def test_a_replayed_token_that_the_grammar_forbids_is_found_before_it_is_accepted() -> None:
    one = sampler(Words([4]))
    with pytest.raises(Incompatible, match="does not permit token 5"):
        one.accept(5)
    one.accept(4)


@pytest.mark.parametrize("token", [-1, SIZE])
def test_a_replayed_token_outside_the_vocabulary_is_incompatible(token: int) -> None:
    with pytest.raises(Incompatible, match=f"Token {token} is not in the vocabulary of 2000"):
        sampler(frequency_penalty=1).accept(token)


def test_what_a_grammar_holds_is_given_back_once() -> None:
    words = Words([4])
    one = sampler(words)
    one.close()
    one.close()
    assert words.closed


@pytest.mark.parametrize(
    ("values", "param"),
    [({"grammar": "root ::= x"}, "grammar"), ({"json_schema": '{"type": "string"}'}, "response_format")],
)
def test_a_grammar_that_cannot_be_opened_names_the_parameter(values: dict[str, Any], param: str) -> None:
    with pytest.raises(SamplingRejected, match="The grammar is none") as caught:
        sampler(None, **values)
    assert (caught.value.param, caught.value.code) == (param, "invalid_value")


def test_a_schema_that_cannot_be_used_is_refused_before_any_grammar_is_opened() -> None:
    with pytest.raises(SamplingRejected, match=r"schema\.not is not offered; leave it out\."):
        sampler(None, json_schema='{"not": {}}')


@given(FILTERS, st.integers(0, 12), st.lists(st.integers(1, 60), max_size=5))
def test_after_a_replay_the_draws_are_those_of_a_sampler_that_never_stopped(
    filters: dict[str, Any], cut: int, prompt: list[int]
) -> None:
    values = filters | {"frequency_penalty": 0.6, "repetition_penalty": 1.2, "penalty_last_n": 4, "logit_bias": {3: 2}}

    def words() -> Words:
        return Words(*(range(1, 200) for _ in range(12)))

    steady, tokens = sampler(words(), prompt, **values), []
    for position in range(12):
        tokens.append(steady.draw(logits_of(position), position).token)
        steady.accept(tokens[-1])
    resumed = sampler(words(), prompt, **values)
    for token in tokens[:cut]:
        resumed.accept(token)
    for position in range(cut, 12):
        assert resumed.draw(logits_of(position), position).token == tokens[position]
        resumed.accept(tokens[position])
    assert resumed.draw(logits_of(), 12).end
