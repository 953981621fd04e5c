"""The real worker with a real model: answers kept to a schema, log-probabilities, and parameters that fail one job."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from fixtures_worker import WorkerProcess, chat_job

from gogrid_desktop.core.json_schema import ANY_OBJECT
from gogrid_desktop.protocol.grid import FinishReason
from gogrid_desktop.worker import messages as w

pytestmark = pytest.mark.model

PERSON = "Invent a person. Answer in JSON with name, age and likes."
STORY = "Tell me a long story about a lighthouse keeper and a storm."
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "likes": {"type": "array", "items": {"enum": ["tea", "rain", "chess"]}, "minItems": 1, "maxItems": 3},
        },
        "required": ["name", "age", "likes"],
        "additionalProperties": False,
    }
)


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerProcess]:
    with WorkerProcess() as worker:
        yield worker.ready()


@pytest.mark.parametrize(
    "values", [{"temperature": 0}, {"temperature": 1.5, "seed": 3}, {"temperature": 1, "top_k": 0}]
)
def test_an_answer_keeps_to_its_schema(worker: WorkerProcess, values: dict[str, Any]) -> None:
    lease = f"person-{json.dumps(values)}"
    worker.start(lease, chat_job(PERSON, json_schema=SCHEMA, max_tokens=200, **values))
    assert worker.ended(lease).finish_reason is FinishReason.STOP
    answer = json.loads(worker.text(lease))
    assert list(answer) == ["name", "age", "likes"]
    assert 0 <= answer["age"] <= 120
    assert set(answer["likes"]) <= {"tea", "rain", "chess"}


def test_json_mode_gives_an_object(worker: WorkerProcess) -> None:
    worker.start("object", chat_job(PERSON, json_schema=ANY_OBJECT, max_tokens=400))
    assert worker.ended("object").finish_reason is FinishReason.STOP
    assert isinstance(json.loads(worker.text("object")), dict)


def test_a_grammar_in_gbnf_leaves_only_its_words(worker: WorkerProcess) -> None:
    grammar = 'root ::= "Yes." | "No."'
    worker.start("yes", chat_job("Is the sky blue?", grammar=grammar))
    assert worker.ended("yes").finish_reason is FinishReason.STOP
    assert worker.text("yes") in ("Yes.", "No.")


def test_a_job_with_a_schema_goes_on_elsewhere_with_the_same_tokens(worker: WorkerProcess) -> None:
    values = {"json_schema": SCHEMA, "max_tokens": 200, "temperature": 1.2, "seed": 5, "repetition_penalty": 1.1}
    worker.start("whole", chat_job(PERSON, **values))
    worker.ended("whole")
    tokens, text = worker.tokens("whole"), worker.text("whole")
    half = len(tokens) // 2
    worker.start("rest", chat_job(PERSON, token_ids=tokens[:half], have_bytes=0, **values))
    worker.ended("rest")
    assert json.loads(worker.text("rest"))
    assert worker.text("rest")[:10] == text[:10]  # what was not reported yet comes again from the tokens


def test_log_probabilities_come_with_each_token(worker: WorkerProcess) -> None:
    worker.start("logprobs", chat_job("What colour is the sky?", logprobs=5, max_tokens=10))
    worker.ended("logprobs")
    chunks = [f.chunk for f in worker.said if isinstance(f, w.Emitted) and f.lease == "logprobs"]
    entries = [
        (token, *entry) for chunk in chunks for token, entry in zip(chunk.token_ids, chunk.logprobs or (), strict=True)
    ]
    assert len(entries) == len(worker.tokens("logprobs")) > 0
    for token, logprob, top in entries:
        assert top[0] == (token, logprob)  # temperature 0 takes the likeliest
        assert len(top) == 5
        assert [value for _, value in top] == sorted((value for _, value in top), reverse=True)
        assert 0 < sum(math.exp(value) for _, value in top) <= 1.0001


def test_a_penalty_and_a_bias_change_what_is_said(worker: WorkerProcess) -> None:
    worker.start("plain", chat_job(STORY, max_tokens=80))
    worker.start("varied", chat_job(STORY, max_tokens=80, frequency_penalty=2, presence_penalty=2))
    for lease in ("plain", "varied"):
        worker.ended(lease)
    assert len(set(worker.tokens("varied"))) > len(set(worker.tokens("plain")))
    first = worker.tokens("plain")[0]
    worker.start("banned", chat_job(STORY, max_tokens=20, logit_bias={first: -100}))
    worker.ended("banned")
    assert first not in worker.tokens("banned")


@pytest.mark.parametrize(
    ("values", "param", "words"),
    [
        ({"logit_bias": {10**6: 1}}, "logit_bias", "0 to 49151"),
        ({"grammar": "root ::= ("}, "grammar", "The grammar needs ) in line 1"),
        ({"grammar": 'root ::= n root | "y"\nn ::= m m\nm ::= "a"?'}, "grammar", "can begin with itself"),
        ({"json_schema": '{"not": {}}'}, "response_format", "schema.not is not offered; leave it out."),
        ({"json_schema": '{"type": "array", "minItems": 1000000}'}, "response_format", "from 0 to 500"),
    ],
)
def test_parameters_that_cannot_be_used_fail_their_job_alone(
    worker: WorkerProcess, values: dict[str, Any], param: str, words: str
) -> None:
    lease = f"beside-{param}-{words}"
    worker.start(lease, chat_job(STORY, max_tokens=40))
    worker.start("bad", chat_job(STORY, **values))
    rejected = worker.next(w.JobRejected)
    assert (rejected.lease, rejected.code, rejected.param) == ("bad", "invalid_value", param)
    assert words in rejected.message
    assert worker.ended(lease).tokens == 40


def test_replayed_tokens_that_the_grammar_forbids_fail_their_job_alone(worker: WorkerProcess) -> None:
    worker.start("forbidden", chat_job(STORY, token_ids=(5, 6), grammar='root ::= "yes"'))
    failed = worker.next(w.JobFailed)
    assert failed.lease == "forbidden"
    assert failed.incompatible
    worker.start("after", chat_job(STORY, max_tokens=2))
    worker.ended("after")
