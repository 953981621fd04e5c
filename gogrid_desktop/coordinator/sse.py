"""The shapes of OpenAI's answers, whole and in chunks, and how a chunk becomes a server-sent event.

Sources: the API reference of chat completions and completions, and the event stream format of the HTML standard. JSON
is kept to ASCII, because some readers take U+2028 for the end of a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gogrid_desktop.coordinator.cursor import Cursor, Finish, Piece, Text, Total
from gogrid_desktop.coordinator.ports import RequestView
from gogrid_desktop.coordinator.refusal import ApiError
from gogrid_desktop.protocol.grid import CatalogueModel, JobKind

Json = dict[str, Any]

#: One line without a blank one after it: once an event had an id, OpenAI's client (3.52) takes a lone blank line for an
#: event, and fails to parse the data that it does not have.
WAITING = b": waiting\n"


def event(data: Mapping[str, Any] | str, at: str | None = None) -> bytes:
    """One event; `at` is its id."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    return (f"id: {at}\n" if at is not None else "").encode() + f"data: {text}\n\n".encode()


def error_event(error: ApiError) -> bytes:
    return event(error.detail().body())


def model_object(model: CatalogueModel) -> Json:
    """`context_length` (tokens) is ours."""
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "gogrid",
        "context_length": model.context,
    }


@dataclass(frozen=True, slots=True)
class Shape:
    """What all chunks of one answer share. `include_usage`: a last chunk tells the usage."""

    request: str
    chat: bool
    model: str
    created: int
    include_usage: bool = False

    @classmethod
    def of(cls, view: RequestView, model: str, *, include_usage: bool = False) -> Shape:
        return cls(view.id, view.kind is JobKind.CHAT, model, int(view.created), include_usage)

    def opening(self, cursor: Cursor) -> bytes:
        """The chunks before any text: in a chat, who speaks."""
        if not self.chat:
            return b""
        delta = {"role": "assistant", "content": ""}
        return b"".join(
            event(self._chunk([{"index": index, "delta": delta, "logprobs": None, "finish_reason": None}]), cursor.at)
            for index in range(len(cursor.sent))
        )

    def events(self, pieces: Iterable[Piece]) -> bytes:
        return b"".join(self._event(piece) for piece in pieces)

    def _event(self, piece: Piece) -> bytes:
        match piece:
            case Text():
                return event(self._chunk([self._choice(piece.choice, piece.text, None)]), piece.at)
            case Finish():
                return event(self._chunk([self._choice(piece.choice, "", piece.reason)]), piece.at)
            case Total():
                usage = event(self._chunk([], _usage(piece)), piece.at) if self.include_usage else b""
                return usage + event("[DONE]", piece.at)

    def _choice(self, index: int, text: str, reason: str | None) -> Json:
        content: Json = {"text": text}
        if self.chat:
            content = {"delta": {"content": text} if text else {}}
        return {"index": index, **content, "logprobs": None, "finish_reason": reason}

    def _chunk(self, choices: list[Json], usage: Json | None = None) -> Json:
        shared = {"usage": usage} if self.include_usage else {}
        return {**self._head("chat.completion.chunk"), "choices": choices, **shared}

    def whole(self, pieces: Iterable[Piece]) -> Json:
        """The answer in one object, from all pieces of a request."""
        texts: dict[int, list[str]] = {}
        reasons: dict[int, str] = {}
        usage: Json = {}
        for piece in pieces:
            match piece:
                case Text():
                    texts.setdefault(piece.choice, []).append(piece.text)
                case Finish():
                    reasons[piece.choice] = piece.reason
                case Total():
                    usage = _usage(piece)
        choices = [
            self._whole_choice(index, "".join(texts.get(index, ())), reasons[index]) for index in sorted(reasons)
        ]
        return {**self._head("chat.completion"), "choices": choices, "usage": usage}

    def _whole_choice(self, index: int, text: str, reason: str) -> Json:
        content: Json = {"text": text}
        if self.chat:
            content = {"message": {"role": "assistant", "content": text, "refusal": None}}
        return {"index": index, **content, "logprobs": None, "finish_reason": reason}

    def _head(self, chat_object: str) -> Json:
        return {
            "id": self.request,
            "object": chat_object if self.chat else "text_completion",
            "created": self.created,
            "model": self.model,
        }


def _usage(total: Total) -> Json:
    return {
        "prompt_tokens": total.prompt_tokens,
        "completion_tokens": total.completion_tokens,
        "total_tokens": total.prompt_tokens + total.completion_tokens,
    }
