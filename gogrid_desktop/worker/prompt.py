"""From a job to the token ids of its prompt.

The chat template of the model is foreign code: it runs in a sandbox, and the only clock it sees is the job's own. What
a person wrote must never become a control token: each text of such a token inside a message is masked before the
template runs, and tokenised as plain characters afterwards; all the rest is tokenised just as the model knows it.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NoReturn, Protocol

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gogrid_desktop.protocol.grid import Job, JobKind

_TEMPLATE_ERRORS = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class PromptRejected(Exception):
    """The request's own fault; fields as in `messages.JobRejected`."""

    def __init__(self, code: str, param: str | None, message: str, needs_context: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param
        self.message = message
        self.needs_context = needs_context


class Tokeniser(Protocol):
    """What a loaded model knows of text."""

    context: int
    trained_context: int
    bos: int
    eos: int
    adds_bos: bool
    closing: list[int]  # what ends a text that is embedded
    pools: bool

    def tokenise(self, text: str, *, special: bool) -> list[int]: ...

    def token_text(self, token: int) -> str: ...


class Prompter:
    """Prompts for one model. `template`: its chat template; `specials`: the texts of its control tokens."""

    def __init__(self, model: Tokeniser, template: str | None, specials: Sequence[str]) -> None:
        self._model = model
        self._template = template
        longest_first = sorted(specials, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def prompt(self, job: Job) -> list[int]:
        """Token ids of the job's prompt. Raises PromptRejected."""
        if self._model.pools and job.kind is not JobKind.EMBEDDING:
            raise PromptRejected("unsupported_kind", "model", "This model makes embeddings alone; use another to chat.")
        match job.kind:
            case JobKind.CHAT:
                ids, param = self._chat(job), "messages"
            case JobKind.COMPLETION:
                ids, param = self._with_bos(self._model.tokenise(job.prompt, special=False)), "prompt"
            case JobKind.EMBEDDING:
                ids, param = self._with_bos(self._model.tokenise(job.prompt, special=False)), "input"
                ids += self._model.closing
            case _:
                raise PromptRejected("unsupported_kind", None, f"This worker does not run jobs of kind {job.kind}.")
        if not ids:
            if self._model.bos < 0:
                raise PromptRejected("empty_prompt", param, f"{param} is empty: the model needs at least one token.")
            ids = [self._model.bos]
        self._check_room(len(ids), job, param)
        return ids

    def _check_room(self, tokens: int, job: Job, param: str) -> None:
        done, context, trained = len(job.token_ids), self._model.context, self._model.trained_context
        if job.kind is JobKind.EMBEDDING:
            context, trained = context + 1, trained + 1  # nothing comes after the text
        if tokens + done < context or done >= job.params.max_tokens:
            return
        if context < trained and tokens < trained:
            needed = min(tokens + job.params.max_tokens, self._model.trained_context)
            message = f"The job needs a context of {needed} tokens, and this worker has {context}."
            raise PromptRejected("needs_context", param, message, needed)
        if tokens >= context:
            message = f"{param} has {tokens} tokens, and the model's context has {trained}, the answer included."
            raise PromptRejected("context_length_exceeded", param, message)

    def _chat(self, job: Job) -> list[int]:
        if not self._template:
            raise PromptRejected(
                "no_chat_template", "messages", "This model has no chat template; use completions with a prompt."
            )
        texts = [text for message in job.messages for text in (message.content, message.name or "")]
        mask = _Mask(self._special, texts)
        messages = [
            {"role": message.role, "content": mask.hide(message.content)}
            | ({"name": mask.hide(message.name)} if message.name is not None else {})
            for message in job.messages
        ]
        try:
            rendered = _render(
                self._template,
                messages=messages,
                add_generation_prompt=True,
                bos_token=self._model.token_text(self._model.bos),
                eos_token=self._model.token_text(self._model.eos),
                strftime_now=datetime.fromtimestamp(job.rendered_at, UTC).strftime,
            )
        except _TEMPLATE_ERRORS as error:
            why = str(error) if isinstance(error, TemplateError) else type(error).__name__
            raise PromptRejected(
                "chat_template_failed", "messages", f"The model's chat template does not take these messages: {why}."
            ) from error
        ids: list[int] = []
        for text, plain in mask.split(rendered):
            ids += self._model.tokenise(text, special=not plain)
        return self._with_bos(ids)

    def _with_bos(self, ids: list[int]) -> list[int]:
        missing = self._model.adds_bos and ids[:1] != [self._model.bos]
        return [self._model.bos, *ids] if missing else ids


class _Mask:
    """Takes the texts of control tokens out of foreign texts, and finds their places again in what became of them."""

    def __init__(self, special: re.Pattern[str], texts: Sequence[str]) -> None:
        self._special = special
        self._hidden: list[str] = []
        number = 0
        # U+FDD0 and U+FDD1 are characters that mean nothing; the number makes the mark one that no text contains.
        while any(f"\ufdd0{number}:" in text for text in texts):
            number += 1
        self._mark = f"\ufdd0{number}:"

    def hide(self, text: str) -> str:
        return self._special.sub(self._replace, text)

    def split(self, rendered: str) -> list[tuple[str, bool]]:
        """Pieces of a rendered text; True: it was hidden."""
        pieces: list[tuple[str, bool]] = []
        for i, piece in enumerate(re.split(f"{self._mark}([0-9]+)\ufdd1", rendered)):
            text = self._hidden[int(piece)] if i % 2 else piece
            if text:
                pieces.append((text, bool(i % 2)))
        return pieces

    def _replace(self, match: re.Match[str]) -> str:
        self._hidden.append(match.group())
        return f"{self._mark}{len(self._hidden) - 1}\ufdd1"


def prompt_hash(ids: Sequence[int]) -> str:
    """SHA-256 over the ids as 32-bit little-endian numbers, in hexadecimal."""
    return sha256(struct.pack(f"<{len(ids)}I", *ids)).hexdigest()


def _render(template: str, **values: Any) -> str:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(template).render(**values)


def _to_json(value: Any, indent: int | None = None) -> str:
    """Without HTML escapes, unlike jinja's own: templates put it into prompts."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
