"""From a submitter's headers and body to a Submission: pure, so that every refusal can be tested with a table."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from gogrid_desktop.coordinator.ports import Account, Submission
from gogrid_desktop.coordinator.refusal import ApiError
from gogrid_desktop.protocol.grid import CatalogueModel, JobKind, Message, Priority, SamplingParams
from gogrid_desktop.protocol.openai import (
    CONFLICT,
    NOT_OFFERED,
    ChatMessage,
    ChatRequest,
    CompletionRequest,
    JsonSchemaFormat,
    ResponseFormat,
    StreamOptions,
)

_Shape = TypeVar("_Shape", bound=BaseModel)
_NESTED: Mapping[str, type[BaseModel]] = {
    "messages": ChatMessage,
    "stream_options": StreamOptions,
    "response_format": ResponseFormat,
    "json_schema": JsonSchemaFormat,
}
#: Parameters that go to the sampler as they are.
_SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "penalty_last_n",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "grammar",
)

DEFAULT_MAX_TOKENS = 4096
DEFAULT_DEADLINE_S = 600.0
MAX_DEADLINE_S = 86_400
MAX_KEY_CHARS = 255
_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the headers ask for; `resume_from` is the Last-Event-ID of a stream that broke."""

    priority: Priority
    deadline_s: float
    idempotency_key: str | None
    resume_from: str | None


def wishes(headers: Mapping[str, str], account: Account) -> Wishes:
    """Read our headers (names in lower case). The priority is capped to the account's. Raises ApiError 400."""
    asked = headers.get("x-gogrid-priority", Priority.NORMAL.value)
    ranks = list(Priority)
    if asked not in set(ranks):
        raise _bad("X-GoGrid-Priority", asked, f"one of {', '.join(ranks)}")
    rank = max(ranks.index(Priority(asked)), ranks.index(account.max_priority))

    key = headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= MAX_KEY_CHARS:
        raise _bad("Idempotency-Key", key, f"1 to {MAX_KEY_CHARS} characters")
    resume_from = headers.get("last-event-id")
    if resume_from is not None and key is None:
        raise _bad("Last-Event-ID", resume_from, "a stream is resumed with the Idempotency-Key it was asked for with")
    return Wishes(ranks[rank], _deadline_s(headers.get("x-gogrid-deadline")), key, resume_from)


def _deadline_s(asked: str | None) -> float:
    if asked is None:
        return DEFAULT_DEADLINE_S
    try:
        seconds = float(asked)
    except ValueError:
        seconds = math.nan
    if not 1 <= seconds <= MAX_DEADLINE_S:
        raise _bad("X-GoGrid-Deadline", asked, f"seconds from 1 to {MAX_DEADLINE_S}")
    return seconds


def parse_chat(raw: bytes) -> ChatRequest:
    """Raises ApiError 400."""
    return _parsed(ChatRequest, raw)


def parse_completion(raw: bytes) -> CompletionRequest:
    """Raises ApiError 400."""
    return _parsed(CompletionRequest, raw)


def _parsed(shape: type[_Shape], raw: bytes) -> _Shape:
    try:
        body = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise ApiError(400, "invalid_json", f"The body is not JSON: {error}.") from None
    if not isinstance(body, dict):
        raise ApiError(400, "invalid_json", "The body must be a JSON object.")
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        raise _refusal(shape, min(error.errors(), key=lambda one: one["type"] != NOT_OFFERED)) from None


def choose(models: Sequence[CatalogueModel], name: str) -> CatalogueModel:
    """The newest model of that id. Raises ApiError 404, listing what there is."""
    found = [model for model in models if model.id == name]
    if not found:
        there = ", ".join(sorted({model.id for model in models})) or "none yet"
        raise ApiError(
            404, "model_not_found", f"There is no model {_shown(name)}. Models of this grid: {there}.", param="model"
        )
    return max(found, key=lambda model: model.created)


def submission(
    body: ChatRequest | CompletionRequest,
    model: CatalogueModel,
    account: Account,
    wishes: Wishes,
    *,
    request: str,
    rendered_at: float,
    random_seed: int,
) -> Submission:
    """What to queue. `rendered_at` in seconds since the epoch; `random_seed` is used where the body names none.

    Models know no developer role: such messages become system messages.
    """
    limit = body.token_limit if body.token_limit is not None else DEFAULT_MAX_TOKENS
    seed = random_seed if body.seed is None else body.seed
    asked = {name: getattr(body, name) for name in _SAMPLING} | {"json_schema": body.schema_of_answer}
    common: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    params = tuple(
        SamplingParams(
            max_tokens=min(limit, model.context), seed=seed % 2**64, choice=choice, stop=tuple(body.stop), **common
        )
        for choice in range(body.n or 1)
    )
    return Submission(
        id=request,
        account=account.id,
        kind=JobKind.CHAT if isinstance(body, ChatRequest) else JobKind.COMPLETION,
        model=model.sha256,
        messages=tuple(_message(one) for one in body.messages) if isinstance(body, ChatRequest) else (),
        prompt=body.prompt if isinstance(body, CompletionRequest) else "",
        params=params,
        priority=wishes.priority,
        deadline_s=wishes.deadline_s,
        rendered_at=rendered_at,
        idempotency_key=wishes.idempotency_key,
        body_hash=body_hash(body) if wishes.idempotency_key is not None else "",
    )


def _message(message: ChatMessage) -> Message:
    role = "system" if message.role == "developer" else message.role
    return Message(role=role, content=message.content, name=message.name)


def body_hash(body: ChatRequest | CompletionRequest) -> str:
    """SHA-256 of what the body says: neither the order of its fields nor fields that say the default change it."""
    said = body.model_dump(mode="json", exclude_defaults=True)
    return hashlib.sha256(json.dumps([type(body).__name__, said], sort_keys=True).encode()).hexdigest()


def _refusal(shape: type[BaseModel], error: ErrorDetails) -> ApiError:
    """One validation error of pydantic in words: field, value, what is allowed."""
    loc = error["loc"]
    path = _path(loc)
    match error["type"]:
        case "missing":
            return ApiError(
                400, "missing_required_parameter", f"{path} is missing: send {_allowed(shape, loc)}.", param=path
            )
        case "extra_forbidden":
            return ApiError(400, "unknown_parameter", f"{path} is no parameter of this call; leave it out.", param=path)
        case kind if kind == NOT_OFFERED:
            return ApiError(400, "unsupported_parameter", f"{path} {error['msg']}.", param=path)
        case kind if kind == CONFLICT:
            return ApiError(400, "invalid_value", f"{error['msg']}.", param=error["ctx"]["param"])
        case _:
            return _bad(path, error["input"], _allowed(shape, loc) or error["msg"])


def _allowed(shape: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """The description of the field at `loc` or, inside a field without a model of its own, of that field."""
    field = next((one for name, one in shape.model_fields.items() if loc and loc[0] in (name, one.alias)), None)
    rest = tuple(part for part in loc[1:] if isinstance(part, str))
    if rest and loc[0] in _NESTED:
        return _allowed(_NESTED[str(loc[0])], rest)
    return (field.description or "") if field else ""


def _path(loc: tuple[int | str, ...]) -> str:
    """`("messages", 0, "role")` as `messages[0].role`; pydantic's mark of a bad key is left out."""
    loc = tuple(part for part in loc if part != "[key]")
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def _bad(field: str, value: object, allowed: str) -> ApiError:
    return ApiError(400, "invalid_value", f"{field} = {_shown(value)} is not allowed: {allowed}.", param=field)
