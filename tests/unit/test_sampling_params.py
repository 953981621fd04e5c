"""Sampling parameters and chunks on the wire and in the store: all of it arrives, nothing that contradicts itself."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gogrid_desktop.coordinator.crypto import Vault, make_key
from gogrid_desktop.coordinator.texts import Body, open_body, seal_body
from gogrid_desktop.protocol.grid import Chunk, SamplingParams

FULL: dict[str, Any] = {
    "max_tokens": 5,
    "repetition_penalty": 1.1,
    "penalty_last_n": -1,
    "frequency_penalty": -2,
    "presence_penalty": 2,
    "logit_bias": {"50256": -100, "7": 0.5},
    "logprobs": 20,
    "json_schema": '{"type": "object"}',
}


def test_every_parameter_survives_the_way_over_the_wire() -> None:
    params = SamplingParams.model_validate(FULL)
    assert params.logit_bias == {50256: -100, 7: 0.5}
    assert SamplingParams.model_validate_json(params.model_dump_json()) == params


def test_every_parameter_survives_the_store() -> None:
    vault = Vault([make_key()])
    grammar = SamplingParams(max_tokens=1, grammar='root ::= "é🙂\\n"')
    body = Body(messages=(), prompt="x", params=(SamplingParams.model_validate(FULL), grammar))
    assert open_body(vault, seal_body(vault, body)) == body


@pytest.mark.parametrize(
    "values",
    [
        {"repetition_penalty": 0},
        {"repetition_penalty": 11},
        {"penalty_last_n": -2},
        {"frequency_penalty": 2.5},
        {"presence_penalty": -2.5},
        {"presence_penalty": float("nan")},
        {"logit_bias": {"-1": 1}},
        {"logit_bias": {"1": 101}},
        {"logit_bias": {"a": 1}},
        {"logit_bias": {str(i): 1 for i in range(1025)}},
        {"logprobs": 21},
        {"logprobs": -1},
        {"grammar": ""},
        {"grammar": "x" * 32_769},
        {"json_schema": "x" * 32_769},
        {"grammar": "root ::= a", "json_schema": "{}"},
        {"xtc_probability": 0.5},
    ],
)
def test_values_out_of_range_are_no_parameters(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SamplingParams.model_validate({"max_tokens": 1, **values})


def test_log_probabilities_travel_with_their_tokens() -> None:
    chunk = Chunk(
        tokens_before=3,
        bytes_before=9,
        token_ids=(5, 6),
        text="ab",
        logprobs=((-0.5, ((5, -0.5), (7, -1.0))), (-2.0, ())),
    )
    assert Chunk.model_validate_json(chunk.model_dump_json()) == chunk
    assert Chunk(tokens_before=0, bytes_before=0).logprobs is None


def test_log_probabilities_of_other_tokens_than_the_chunks_are_refused() -> None:
    with pytest.raises(ValidationError, match="logprobs has 1 entries for 2 tokens"):
        Chunk(tokens_before=0, bytes_before=0, token_ids=(5, 6), logprobs=((-0.5, ()),))
