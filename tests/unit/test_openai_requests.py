"""What a submitter's headers and body become, and the words of every refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.coordinator import face
from gogrid_desktop.coordinator.ports import Account, Submission
from gogrid_desktop.coordinator.refusal import ApiError
from gogrid_desktop.protocol.grid import CatalogueModel, JobKind, Priority

MODEL = CatalogueModel(sha256="a" * 64, id="tiny", size_bytes=1, context=2048, created=7)
ACCOUNT = Account(id="acct", key_id="key", max_priority=Priority.NORMAL)
HELLO = {"role": "user", "content": "hello"}


def chat_body(**fields: Any) -> bytes:
    return json.dumps({"model": "tiny", "messages": [HELLO], **fields}).encode()


def completion_body(**fields: Any) -> bytes:
    return json.dumps({"model": "tiny", "prompt": "once", **fields}).encode()


def submit(raw: bytes, *, completion: bool = False, seed: int = 5, **headers: str) -> Submission:
    body = face.parse_completion(raw) if completion else face.parse_chat(raw)
    wishes = face.wishes({name.replace("_", "-"): value for name, value in headers.items()}, ACCOUNT)
    return face.submission(body, MODEL, ACCOUNT, wishes, request="req-1", rendered_at=12.0, random_seed=seed)


def refused(raw: bytes, *, completion: bool = False) -> ApiError:
    with pytest.raises(ApiError) as caught:
        submit(raw, completion=completion)
    return caught.value


def test_a_plain_chat_becomes_one_job_with_the_protocols_defaults() -> None:
    made = submit(chat_body())
    assert (made.kind, made.model, made.priority, made.deadline_s) == (JobKind.CHAT, MODEL.sha256, Priority.NORMAL, 600)
    (params,) = made.params
    assert (params.max_tokens, params.temperature, params.top_k, params.seed) == (2048, 1.0, 40, 5)
    assert [(message.role, message.content) for message in made.messages] == [("user", "hello")]


def test_a_completion_becomes_a_prompt_without_messages() -> None:
    made = submit(completion_body(), completion=True)
    assert (made.kind, made.prompt, made.messages) == (JobKind.COMPLETION, "once", ())
    assert submit(completion_body(prompt=["once"]), completion=True).prompt == "once"


def test_each_choice_gets_its_own_number_and_the_same_seed() -> None:
    made = submit(chat_body(n=3, seed=-1, temperature=0, top_p=0.5, top_k=0, min_p=0.1, stop="x", max_tokens=9))
    assert [params.choice for params in made.params] == [0, 1, 2]
    first = made.params[0]
    assert (first.seed, first.temperature, first.top_p, first.top_k, first.min_p) == (2**64 - 1, 0, 0.5, 0, 0.1)
    assert (first.stop, first.max_tokens) == (("x",), 9)


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 7, "max_completion_tokens": 7}, 7),
        ({"max_tokens": None}, 2048),
        ({"max_tokens": 10**9}, 2048),
    ],
)
def test_the_token_limit_is_what_was_asked_within_the_context(fields: dict[str, Any], limit: int) -> None:
    assert submit(chat_body(**fields)).params[0].max_tokens == limit


def test_the_token_limit_is_4096_by_default_where_the_context_is_longer() -> None:
    wide = MODEL.model_copy(update={"context": 100_000})
    wishes = face.wishes({}, ACCOUNT)
    body = face.parse_chat(chat_body())
    made = face.submission(body, wide, ACCOUNT, wishes, request="r", rendered_at=0, random_seed=0)
    assert made.params[0].max_tokens == 4096


def test_text_parts_are_joined_and_a_developer_speaks_as_the_system() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    made = submit(chat_body(messages=[{"role": "developer", "content": parts}]))
    assert [(message.role, message.content) for message in made.messages] == [("system", "a\nb")]


def test_a_message_of_an_earlier_answer_can_be_sent_back_as_it_came() -> None:
    answer = {
        "role": "assistant",
        "content": "hi",
        "refusal": None,
        "tool_calls": None,
        "annotations": [],
        "audio": None,
    }
    assert submit(chat_body(messages=[HELLO, answer])).messages[1].content == "hi"


NEUTRAL = [
    {"tools": []},
    {"tool_choice": "none"},
    {"response_format": {"type": "text"}},
    {"logprobs": False},
    {"logit_bias": {}},
    {"presence_penalty": 0, "frequency_penalty": 0.0},
    {"store": False, "user": "u", "metadata": {"a": "b"}, "service_tier": "auto", "parallel_tool_calls": True},
    {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}},
    {"stop": None, "n": None, "temperature": None, "tools": None, "seed": None, "stream": None},
]


@pytest.mark.parametrize("fields", NEUTRAL)
def test_parameters_that_ask_for_nothing_are_taken(fields: dict[str, Any]) -> None:
    assert len(submit(chat_body(**fields)).params) == 1


NOT_YET = [
    {"tools": [{"type": "function", "function": {"name": "f"}}]},
    {"tool_choice": "required"},
    {"logprobs": True},
    {"top_logprobs": 2},
    {"store": True},
    {"audio": {}},
    {"modalities": ["audio"]},
    {"functions": [{}]},
    {"reasoning_effort": "high"},
    {"prediction": {}},
]


@pytest.mark.parametrize("fields", NOT_YET)
def test_parameters_without_effect_here_are_refused_by_name(fields: dict[str, Any]) -> None:
    error = refused(chat_body(**fields))
    (name,) = fields
    assert (error.status, error.code, error.param) == (400, "unsupported_parameter", name)
    assert str(error) == f"{name} is not offered yet; leave it out."


@pytest.mark.parametrize(
    "fields",
    [{"best_of": 2}, {"suffix": "x"}, {"echo": True}, {"logprobs": 0}, {"prompt": [1, 2]}, {"prompt": ["a", "b"]}],
)
def test_parameters_of_completions_without_effect_here_are_refused_by_name(fields: dict[str, Any]) -> None:
    error = refused(completion_body(**fields), completion=True)
    assert (error.status, error.code, error.param) == (400, "unsupported_parameter", next(iter(fields)))
    assert "not offered yet" in str(error)


NEVER = [
    {"xtc_probability": 0.5},
    {"xtc_threshold": 0.1},
    {"mirostat": 2},
    {"mirostat_tau": 5.0},
    {"mirostat_eta": 0.1},
    {"adaptive_target": 0.5},
    {"adaptive_decay": 0.9},
    {"typical_p": 0.9},
    {"dynatemp_range": 0.5},
    {"dynatemp_exponent": 1.0},
    {"dry_multiplier": 0.8},
    {"dry_base": 1.75},
    {"dry_allowed_length": 2},
    {"dry_penalty_last_n": -1},
    {"dry_sequence_breakers": ["\n"]},
    {"top_n_sigma": 1.0},
    {"samplers": ["xtc"]},
]


@pytest.mark.parametrize("fields", NEVER)
def test_a_sampler_that_there_is_not_is_refused_by_name(fields: dict[str, Any]) -> None:
    (name,) = fields
    for error in (refused(chat_body(**fields)), refused(completion_body(**fields), completion=True)):
        assert (error.status, error.code, error.param) == (400, "unsupported_parameter", name)
        assert str(error) == f"{name} is not offered; leave it out."


def test_a_sampler_that_there_is_not_may_be_turned_off() -> None:
    off = {"xtc_probability": 0, "mirostat": 0, "typical_p": 1.0, "dynatemp_range": 0, "dry_multiplier": 0.0}
    assert submit(chat_body(**off, adaptive_target=-1, top_n_sigma=-1)).params[0] == submit(chat_body()).params[0]


def test_penalties_and_bias_reach_the_sampler() -> None:
    made = submit(
        chat_body(
            frequency_penalty=1.5,
            presence_penalty=-2,
            repetition_penalty=1.1,
            penalty_last_n=-1,
            logit_bias={"7": -100, "12": 0.5},
        )
    )
    (params,) = made.params
    assert (params.frequency_penalty, params.presence_penalty, params.repetition_penalty) == (1.5, -2, 1.1)
    assert (params.penalty_last_n, params.logit_bias) == (-1, {7: -100, 12: 0.5})


def schema_format(schema: Any, **more: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}}}


def test_a_schema_a_json_object_or_a_grammar_reaches_the_sampler() -> None:
    schema = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "null"}}}
    for raw, completion in (
        (chat_body(**schema_format(schema, strict=True)), False),
        (completion_body(**schema_format(schema)), True),
    ):
        (params,) = submit(raw, completion=completion).params
        assert params.json_schema is not None
        assert list(json.loads(params.json_schema)["properties"]) == ["b", "a"]  # their order is the answer's
    assert submit(chat_body(response_format={"type": "json_object"})).params[0].json_schema == '{"type": "object"}'
    assert submit(chat_body(grammar='root ::= "yes" | "no"')).params[0].grammar == 'root ::= "yes" | "no"'


def test_a_body_with_a_schema_is_the_same_as_itself_and_as_no_other() -> None:
    bodies = [
        face.parse_chat(chat_body(**schema_format(schema)))
        for schema in ({"type": "string"}, {"type": "string"}, {"type": "null"})
    ]
    one, same, other = map(face.body_hash, bodies)
    assert one == same != other


BAD_SAMPLING = [
    ({"frequency_penalty": 2.1}, "frequency_penalty", "frequency_penalty = 2.1 is not allowed: a number from -2 to 2."),
    ({"frequency_penalty": False}, "frequency_penalty", "frequency_penalty = False is not"),
    ({"presence_penalty": -3}, "presence_penalty", "a number from -2 to 2"),
    ({"repetition_penalty": 0}, "repetition_penalty", "a number from 0.1 to 10"),
    ({"penalty_last_n": -2}, "penalty_last_n", "penalty_last_n = -2 is not"),
    ({"logit_bias": {"1": 101}}, "logit_bias.1", "logit_bias.1 = 101 is not allowed: at most 1024 numbers"),
    ({"logit_bias": {"the": 1}}, "logit_bias.the", "by token id"),
    ({"logit_bias": [1]}, "logit_bias", "logit_bias = [1] is not"),
    ({"logit_bias": {str(i): 1 for i in range(1025)}}, "logit_bias", "at most 1024"),
    ({"grammar": ""}, "grammar", "a GBNF text of at most 32,768 characters"),
    (
        {"grammar": "root ::= a"},
        "grammar",
        "grammar is not usable: The grammar refers to a rule a that it does not have.",
    ),
    ({"grammar": 'root ::= "a"', "response_format": {"type": "json_object"}}, "grammar", "send one of them"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "text, json_object or json_schema"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "is sent with type = json_schema"),
    ({"response_format": "json"}, "response_format", "an object such as"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
        "response_format.json_schema.schema",
        "response_format.json_schema.schema is missing: send a JSON Schema, an object.",
    ),
    (
        schema_format({"properties": {"age": {"type": "number", "multipleOf": 5}}}),
        "response_format.json_schema.schema.properties.age.multipleOf",
        "schema.properties.age.multipleOf is not offered; leave it out.",
    ),
    (
        schema_format({"type": "array", "minItems": 10**9}),
        "response_format.json_schema.schema.minItems",
        "from 0 to 500",
    ),
]


@pytest.mark.parametrize(("fields", "param", "words"), BAD_SAMPLING)
def test_bad_sampling_is_a_400_that_names_field_value_and_what_is_allowed(
    fields: dict[str, Any], param: str, words: str
) -> None:
    error = refused(chat_body(**fields))
    assert (error.status, error.code in ("invalid_value", "missing_required_parameter"), error.param) == (
        400,
        True,
        param,
    )
    assert words in str(error)


IMAGE = {"type": "image_url", "image_url": {"url": "data:"}}
BAD_CHATS = [
    ({"max_tokens": -1}, "max_tokens", "max_tokens = -1 is not allowed: a whole number from 1 on."),
    ({"max_tokens": 0}, "max_tokens", "max_tokens = 0 is not"),
    ({"max_tokens": 1.5}, "max_tokens", "max_tokens = 1.5 is not"),
    ({"max_completion_tokens": -4}, "max_completion_tokens", "max_completion_tokens = -4 is not"),
    ({"max_tokens": 1, "max_completion_tokens": 2}, "max_completion_tokens", "send one of them"),
    ({"temperature": 2.1}, "temperature", "temperature = 2.1 is not allowed: a number from 0 to 2"),
    ({"temperature": "0.5"}, "temperature", "temperature = '0.5' is not"),
    ({"temperature": True}, "temperature", "temperature = True is not"),
    ({"top_p": -0.1}, "top_p", "a number from 0 to 1."),
    ({"top_k": -1}, "top_k", "0 turns it off"),
    ({"min_p": 1.5}, "min_p", "a number from 0 to 1."),
    ({"n": 17}, "n", "n = 17 is not allowed: a whole number from 1 to 16."),
    ({"n": 0}, "n", "n = 0 is not"),
    ({"seed": 0.5}, "seed", "a whole number."),
    ({"stop": list("abcde")}, "stop", "at most 4"),
    ({"stop": ["a", ""]}, "stop[1]", "none of them empty"),
    ({"stream": "yes"}, "stream", "true or false"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "stream_options needs stream = true."),
    ({"model": 4}, "model", "GET /v1/models"),
    ({"messages": []}, "messages", "messages = [] is not allowed: a list of one or more messages."),
    ({"messages": "hi"}, "messages", "messages = 'hi' is not"),
    ({"messages": [{"role": "boss", "content": "x"}]}, "messages[0].role", "system, developer, user or assistant"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "messages[0].role is tool, not offered yet"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "messages[0].content is missing: send a string"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "messages[0].content = None is not"),
    ({"messages": [HELLO, {"role": "user", "content": [IMAGE]}]}, "messages[1].content", "image_url, not offered yet"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content", "is not allowed"),
    ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls", "is not offered yet"),
    ({"messages": [{"role": "user", "content": "x", "colour": 1}]}, "messages[0].colour", "is no parameter"),
    ({"temprature": 1}, "temprature", "temprature is no parameter of this call; leave it out."),
    ({"service_tier": "flex"}, "service_tier", "auto or default"),
    ({"metadata": {"a": 1}}, "metadata.a", "at most 16 strings"),
]


@pytest.mark.parametrize(("fields", "param", "words"), BAD_CHATS)
def test_bad_input_is_a_400_that_names_field_value_and_what_is_allowed(
    fields: dict[str, Any], param: str, words: str
) -> None:
    error = refused(chat_body(**fields))
    assert (error.status, error.param) == (400, param)
    assert words in str(error)


def test_the_error_object_is_openais() -> None:
    detail = refused(chat_body(n=99)).detail().body()["error"]
    assert set(detail) == {"message", "type", "param", "code"}
    assert (detail["type"], detail["param"], detail["code"]) == ("invalid_request_error", "n", "invalid_value")


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[]", b'{"model": NaN}', b'"\\ud800"', b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_a_400(raw: bytes) -> None:
    assert (refused(raw).status, refused(raw).code) == (400, "invalid_json")


def test_long_values_are_cut_in_the_message() -> None:
    assert len(str(refused(chat_body(stream="x" * 10_000)))) < 200


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_stands_in_the_messages_is_taken_or_a_400(value: Any) -> None:
    for raw in (chat_body(messages=value), chat_body(messages=[{"role": "user", "content": value}])):
        try:
            assert submit(raw).messages
        except ApiError as error:
            assert error.status == 400


@given(st.integers())
def test_any_whole_number_is_a_seed(seed: int) -> None:
    assert submit(chat_body(seed=seed)).params[0].seed == seed % 2**64


@pytest.mark.parametrize(
    ("asked", "given_"),
    [("critical", "normal"), ("high", "normal"), ("normal", "normal"), ("low", "low"), ("batch", "batch")],
)
def test_the_priority_is_capped_to_the_accounts(asked: str, given_: str) -> None:
    assert face.wishes({"x-gogrid-priority": asked}, ACCOUNT).priority == given_


BAD_HEADERS = [
    ({"x-gogrid-priority": "urgent"}, "X-GoGrid-Priority", "critical, high, normal, low, batch"),
    (
        {"x-gogrid-deadline": "0"},
        "X-GoGrid-Deadline",
        "X-GoGrid-Deadline = '0' is not allowed: seconds from 1 to 86400.",
    ),
    ({"x-gogrid-deadline": "86401"}, "X-GoGrid-Deadline", "86400"),
    ({"x-gogrid-deadline": "soon"}, "X-GoGrid-Deadline", "seconds"),
    ({"x-gogrid-deadline": "nan"}, "X-GoGrid-Deadline", "seconds"),
    ({"x-gogrid-deadline": "inf"}, "X-GoGrid-Deadline", "seconds"),
    ({"idempotency-key": ""}, "Idempotency-Key", "1 to 255 characters"),
    ({"idempotency-key": "k" * 256}, "Idempotency-Key", "1 to 255 characters"),
    ({"last-event-id": "4"}, "Last-Event-ID", "Idempotency-Key"),
]


@pytest.mark.parametrize(("headers", "param", "words"), BAD_HEADERS)
def test_a_bad_header_is_a_400_that_names_it(headers: dict[str, str], param: str, words: str) -> None:
    with pytest.raises(ApiError) as caught:
        face.wishes(headers, ACCOUNT)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert words in str(caught.value)


def test_good_headers_are_taken() -> None:
    wishes = face.wishes({"x-gogrid-deadline": "1.5", "idempotency-key": "k" * 255, "last-event-id": "4"}, ACCOUNT)
    assert (wishes.deadline_s, wishes.idempotency_key, wishes.resume_from) == (1.5, "k" * 255, "4")


def test_an_unknown_model_is_a_404_that_lists_what_there_is() -> None:
    with pytest.raises(ApiError) as caught:
        face.choose([MODEL, MODEL.model_copy(update={"id": "other"})], "gpt-9")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    assert "other, tiny" in str(caught.value)
    with pytest.raises(ApiError, match="none yet"):
        face.choose([], "gpt-9")


def test_the_newest_of_two_models_with_one_name_is_taken() -> None:
    newer = MODEL.model_copy(update={"sha256": "b" * 64, "created": 8})
    assert face.choose([MODEL, newer], "tiny") is newer
    assert face.choose([newer, MODEL], "tiny") is newer


def test_a_body_is_the_same_whatever_the_order_of_its_fields() -> None:
    def digest(raw: bytes) -> str:
        return face.body_hash(face.parse_chat(raw))

    one = digest(chat_body(seed=1, metadata={"a": "1", "b": "2"}))
    assert one == digest(
        json.dumps(dict(reversed(json.loads(chat_body(seed=1, metadata={"b": "2", "a": "1"})).items()))).encode()
    )
    assert one == digest(chat_body(seed=1, metadata={"a": "1", "b": "2"}, stop=None, tools=None))
    assert len({one, digest(chat_body(seed=2)), digest(chat_body()), digest(chat_body(stream=True))}) == 4
