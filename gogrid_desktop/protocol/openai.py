"""The requests of the OpenAI API that we take, field by field: what is allowed, what is harmless, what is refused.

A field's description completes the sentence "<field> = <value> is not allowed: ...": rule and words stand in one place.
A parameter that would have no effect here is refused unless its value asks for nothing: silence would be a lie.
Source: the API reference of `POST /v1/chat/completions` and `POST /v1/completions`; `top_k`, `min_p`,
`repetition_penalty`, `penalty_last_n` and `grammar` are ours.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from gogrid_desktop.core import gbnf
from gogrid_desktop.core.json_schema import ANY_OBJECT, SchemaError, grammar_of
from gogrid_desktop.protocol.grid import MAX_BIASES, Bias, Penalty, PenaltyWindow, RepetitionPenalty

MAX_CHOICES = 16
MAX_STOPS = 4
NOT_OFFERED = "not_offered"
CONFLICT = "conflict"


def _only(*neutral: object, words: Literal["not offered yet", "not offered"] = "not offered yet") -> BeforeValidator:
    """A parameter that we do not offer: any value but a neutral one is refused. `1` and `True` are told apart."""

    def check(value: object) -> None:
        if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in (None, *neutral)):
            raise PydanticCustomError(NOT_OFFERED, "is {words}; leave it out", {"words": words})

    return BeforeValidator(check)


def _never(*neutral: object) -> BeforeValidator:
    """A sampler of llama.cpp that we do not have: draws depend on seed, choice, position and tokens alone."""
    return _only(*neutral, words="not offered")


def _grammar(text: str) -> str:
    try:
        gbnf.check(text)
    except gbnf.GrammarError as error:
        raise _conflict("grammar", f"grammar is not usable: {str(error).rstrip('.')}") from error
    return text


def _usable_schema(schema: dict[str, Any]) -> dict[str, Any]:
    try:
        grammar_of(_compact(schema))
    except SchemaError as error:
        param = ".".join(filter(None, ("response_format.json_schema.schema", error.path)))
        raise _conflict(param, f"{param} {error.problem}") from error
    return schema


def _compact(schema: dict[str, Any]) -> str:
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


def _conflict(param: str, words: str) -> PydanticCustomError:
    """A refusal in words of its own (a sentence without its full stop)."""
    return PydanticCustomError(CONFLICT, "{words}", {"param": param, "words": words})


def _plain_text(value: object) -> object:
    """Content as one string; text parts are joined by newlines."""
    if not isinstance(value, list):
        return value
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind != "text":
            raise PydanticCustomError(
                NOT_OFFERED, "has a part of type {kind}, not offered yet; send text", {"kind": kind}
            )
        if kind != "text" or set(part) != {"type", "text"} or not isinstance(part["text"], str):
            return value
    return "\n".join(part["text"] for part in value)


def _one_prompt(value: object) -> object:
    """A prompt as one string; a list may hold one text."""
    if not isinstance(value, list) or not value:
        return value
    if not isinstance(value[0], str):
        raise PydanticCustomError(NOT_OFFERED, "is made of token ids, not offered yet; send text")
    if len(value) > 1:
        raise PydanticCustomError(NOT_OFFERED, "has several texts, not offered yet; send one request for each")
    return value[0]


def _list_of_stops(value: object) -> object:
    return [] if value is None else [value] if isinstance(value, str) else value


def _role(value: object) -> object:
    if value in ("tool", "function"):
        raise PydanticCustomError(NOT_OFFERED, "is {role}, not offered yet; leave such messages out", {"role": value})
    return value


_Text = Annotated[str | None, Field(description="a string")]
_Flag = Annotated[bool | None, Field(description="true or false")]
_Limit = Annotated[Annotated[int, Field(ge=1)] | None, Field(description="a whole number from 1 on")]
_Share = Annotated[Annotated[float, Field(ge=0, le=1)] | None, Field(description="a number from 0 to 1")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ChatMessage(_Body):
    """One message. Fields that an answer's message carries may come back empty, as clients send them."""

    role: Annotated[
        Literal["system", "developer", "user", "assistant"],
        BeforeValidator(_role),
        Field(description="system, developer, user or assistant"),
    ]
    content: Annotated[
        str, BeforeValidator(_plain_text), Field(description='a string, or a list of {"type": "text", "text": ...}')
    ]
    name: _Text = None
    audio: Annotated[None, _only()] = None
    annotations: Annotated[None, _only([])] = None
    function_call: Annotated[None, _only()] = None
    refusal: Annotated[None, _only("")] = None
    tool_calls: Annotated[None, _only([])] = None


class StreamOptions(_Body):
    include_usage: _Flag = None
    include_obfuscation: _Flag = None


class JsonSchemaFormat(_Body):
    """`schema`: the JSON Schema that the answer keeps to, `strict` or not."""

    name: Annotated[str, Field(description="a string")]
    description: _Text = None
    schema_: Annotated[
        dict[str, Any], AfterValidator(_usable_schema), Field(alias="schema", description="a JSON Schema, an object")
    ]
    strict: _Flag = None


class ResponseFormat(_Body):
    type: Annotated[
        Literal["text", "json_object", "json_schema"], Field(description="text, json_object or json_schema")
    ]
    json_schema: Annotated[
        JsonSchemaFormat | None, Field(description='an object such as {"name": "answer", "schema": {...}}')
    ] = None

    @model_validator(mode="after")
    def _schema_with_its_type(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            words = "response_format.json_schema is sent with type = json_schema, and only with it"
            raise _conflict("response_format.json_schema", words)
        return self

    @property
    def schema_of_answer(self) -> str | None:
        """JSON Schema as JSON; None for plain text."""
        if self.json_schema is not None:
            return _compact(self.json_schema.schema_)
        return ANY_OBJECT if self.type == "json_object" else None


class GenerationRequest(_Body):
    """What chat and completions share. Absent and null are the same; defaults are those of `SamplingParams`."""

    model: Annotated[str, Field(min_length=1, description="the id of a model that GET /v1/models lists")]
    max_tokens: _Limit = None
    temperature: Annotated[
        Annotated[float, Field(ge=0, le=2)] | None,
        Field(description="a number from 0 to 2; 0 takes the likeliest token"),
    ] = None
    top_p: _Share = None
    top_k: Annotated[
        Annotated[int, Field(ge=0, le=2**31 - 1)] | None, Field(description="a whole number from 0 on; 0 turns it off")
    ] = None
    min_p: _Share = None
    seed: Annotated[int | None, Field(description="a whole number")] = None
    stop: Annotated[
        list[Annotated[str, Field(min_length=1)]],
        BeforeValidator(_list_of_stops),
        Field(max_length=MAX_STOPS, description=f"a string, or a list of at most {MAX_STOPS}, none of them empty"),
    ] = []
    n: Annotated[
        Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None, Field(description=f"a whole number from 1 to {MAX_CHOICES}")
    ] = None
    stream: _Flag = None
    stream_options: Annotated[StreamOptions | None, Field(description='an object such as {"include_usage": true}')] = (
        None
    )

    user: _Text = None
    metadata: Annotated[
        Annotated[dict[str, str], Field(max_length=16)] | None, Field(description="at most 16 strings by name")
    ] = None
    safety_identifier: _Text = None
    service_tier: Annotated[Literal["auto", "default"] | None, Field(description="auto or default")] = None

    frequency_penalty: Annotated[Penalty | None, Field(description="a number from -2 to 2")] = None
    presence_penalty: Annotated[Penalty | None, Field(description="a number from -2 to 2")] = None
    repetition_penalty: Annotated[RepetitionPenalty | None, Field(description="a number from 0.1 to 10; 1 is none")] = (
        None
    )
    penalty_last_n: Annotated[
        PenaltyWindow | None,
        Field(description="of how many tokens repetition_penalty counts, a whole number; -1: of all"),
    ] = None
    logit_bias: Annotated[
        Annotated[dict[Annotated[str, Field(pattern=r"^[0-9]{1,9}$")], Bias], Field(max_length=MAX_BIASES)] | None,
        Field(description=f"at most {MAX_BIASES} numbers from -100 to 100 by token id, a whole number in quotes"),
    ] = None
    grammar: Annotated[
        Annotated[str, Field(min_length=1, max_length=gbnf.MAX_CHARS), AfterValidator(_grammar)] | None,
        Field(description=f"a GBNF text of at most {gbnf.MAX_CHARS:,} characters"),
    ] = None
    response_format: Annotated[
        ResponseFormat | None, Field(description='an object such as {"type": "json_object"}')
    ] = None

    adaptive_decay: Annotated[None, _never()] = None
    adaptive_target: Annotated[None, _never(-1)] = None
    dry_allowed_length: Annotated[None, _never()] = None
    dry_base: Annotated[None, _never()] = None
    dry_multiplier: Annotated[None, _never(0)] = None
    dry_penalty_last_n: Annotated[None, _never()] = None
    dry_sequence_breakers: Annotated[None, _never()] = None
    dynatemp_exponent: Annotated[None, _never()] = None
    dynatemp_range: Annotated[None, _never(0)] = None
    mirostat: Annotated[None, _never(0)] = None
    mirostat_eta: Annotated[None, _never()] = None
    mirostat_tau: Annotated[None, _never()] = None
    samplers: Annotated[None, _never()] = None
    top_n_sigma: Annotated[None, _never(-1)] = None
    typical_p: Annotated[None, _never(1)] = None
    xtc_probability: Annotated[None, _never(0)] = None
    xtc_threshold: Annotated[None, _never()] = None

    @model_validator(mode="after")
    def _options_need_a_stream(self) -> GenerationRequest:
        if self.stream_options is not None and not self.stream:
            raise _conflict("stream_options", "stream_options needs stream = true")
        return self

    @model_validator(mode="after")
    def _one_grammar(self) -> GenerationRequest:
        if self.grammar is not None and self.schema_of_answer is not None:
            raise _conflict("grammar", "grammar and response_format are both set; send one of them")
        return self

    @property
    def schema_of_answer(self) -> str | None:
        """JSON Schema that the answer keeps to, as JSON; None where there is none."""
        return self.response_format.schema_of_answer if self.response_format is not None else None

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class ChatRequest(GenerationRequest):
    """Body of `POST /v1/chat/completions`."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, description="a list of one or more messages")]
    max_completion_tokens: _Limit = None
    parallel_tool_calls: _Flag = None
    prompt_cache_key: _Text = None

    audio: Annotated[None, _only()] = None
    function_call: Annotated[None, _only("none", "auto")] = None
    functions: Annotated[None, _only([])] = None
    logprobs: Annotated[None, _only(False)] = None
    modalities: Annotated[None, _only(["text"])] = None
    moderation: Annotated[None, _only()] = None
    prediction: Annotated[None, _only()] = None
    prompt_cache_options: Annotated[None, _only()] = None
    prompt_cache_retention: Annotated[None, _only()] = None
    reasoning_effort: Annotated[None, _only("none")] = None
    store: Annotated[None, _only(False)] = None
    tool_choice: Annotated[None, _only("none", "auto")] = None
    tools: Annotated[None, _only([])] = None
    top_logprobs: Annotated[None, _only(0)] = None
    verbosity: Annotated[None, _only("medium")] = None
    web_search_options: Annotated[None, _only()] = None

    @model_validator(mode="after")
    def _one_limit(self) -> ChatRequest:
        if None not in (limits := (self.max_tokens, self.max_completion_tokens)) and limits[0] != limits[1]:
            words = f"max_tokens = {limits[0]} and max_completion_tokens = {limits[1]} differ; send one of them"
            raise _conflict("max_completion_tokens", words)
        return self

    @property
    def token_limit(self) -> int | None:
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens


class CompletionRequest(GenerationRequest):
    """Body of `POST /v1/completions`."""

    prompt: Annotated[str, BeforeValidator(_one_prompt), Field(min_length=1, description="a text that is not empty")]

    best_of: Annotated[None, _only(1)] = None
    echo: Annotated[None, _only(False)] = None
    logprobs: Annotated[None, _only()] = None
    suffix: Annotated[None, _only("")] = None


class ErrorDetail(BaseModel):
    """OpenAI's error object, the value of `error` in a refusal's body."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None

    def body(self) -> dict[str, Any]:
        return {"error": self.model_dump()}
