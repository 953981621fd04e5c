"""How far one reader has come in a request, and what comes next: pure, because here a byte is lost or sent twice.

A reader's place is the bytes of UTF-8 sent of each choice, written `120` or `120,96` as an event id. Text is cut only
where a view ends or where an earlier view ended, hence never inside a character.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gogrid_desktop.coordinator.ports import ChoiceView, JobState, RequestView
from gogrid_desktop.coordinator.refusal import ApiError
from gogrid_desktop.protocol.grid import FinishReason

_EVENT_ID = re.compile(r"[0-9]{1,15}(,[0-9]{1,15})*")


@dataclass(frozen=True, slots=True)
class Text:
    """More text of a choice; `at` is the reader's place after it."""

    at: str
    choice: int
    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    at: str
    choice: int
    reason: FinishReason


@dataclass(frozen=True, slots=True)
class Total:
    """Once, last: tokens of the prompt (counted once) and of all choices."""

    at: str
    prompt_tokens: int
    completion_tokens: int


Piece = Text | Finish | Total


@dataclass(frozen=True, slots=True)
class Cursor:
    """`sent` bytes of each choice; `finished` holds the choices whose end was told."""

    sent: tuple[int, ...]
    finished: frozenset[int] = frozenset()

    @classmethod
    def resume(cls, event_id: str | None, view: RequestView) -> Cursor:
        """The place that `event_id` names (none = the start) in a view with all the text from byte 0.

        Raises ApiError: 400 for a place that never was sent, 410 if the text after it is no longer kept.
        """
        if event_id is None:
            return cls((0,) * len(view.choices))
        if not _EVENT_ID.fullmatch(event_id):
            raise _bad_place(event_id, "bytes per choice, as in the id of an event, such as 120 or 120,96")
        sent = tuple(int(part) for part in event_id.split(","))
        if len(sent) != len(view.choices):
            raise _bad_place(event_id, f"one number for each of {len(view.choices)} choices")
        for choice in view.choices:
            at = sent[choice.index]
            if at > choice.bytes:
                raise _bad_place(event_id, f"choice {choice.index} has {choice.bytes} bytes so far")
            _rest(choice, at, event_id)
        return cls(sent)

    @property
    def at(self) -> str:
        return ",".join(str(count) for count in self.sent)

    def advance(self, view: RequestView) -> tuple[Cursor, tuple[Piece, ...]]:
        """What the view has beyond this place, and the place after it. Raises ApiError 410 for text no longer kept."""
        cursor, pieces = self, list[Piece]()
        for choice in view.choices:
            index = choice.index
            if text := _rest(choice, cursor.sent[index], cursor.at):
                size = len(text.encode())
                cursor = replace(
                    cursor, sent=(*cursor.sent[:index], cursor.sent[index] + size, *cursor.sent[index + 1 :])
                )
                pieces.append(Text(cursor.at, index, text))
            if choice.state is JobState.COMPLETED and index not in cursor.finished:
                cursor = replace(cursor, finished=cursor.finished | {index})
                pieces.append(Finish(cursor.at, index, choice.finish_reason or FinishReason.STOP))
        if pieces and len(cursor.finished) == len(view.choices):
            pieces.append(_total(cursor.at, view))
        return cursor, tuple(pieces)


def failure(view: RequestView) -> ApiError | None:
    """Why the request cannot complete any more: a choice that ended otherwise. Trying again cannot help.

    Where one choice failed the others were cancelled for it, hence those come last.
    """
    lost = [choice for choice in view.choices if choice.state.ended and choice.state is not JobState.COMPLETED]
    return _failed(min(lost, key=lambda choice: choice.state is JobState.CANCELLED)) if lost else None


def _failed(choice: ChoiceView) -> ApiError:
    if error := choice.error:
        return ApiError(error.status, error.code, error.message, param=error.param, final=True)
    match choice.state:
        case JobState.EXPIRED:
            words = "The deadline passed before the answer was complete. Allow more seconds in X-GoGrid-Deadline."
            return ApiError(504, "deadline_exceeded", words, final=True)
        case JobState.CANCELLED:
            return ApiError(409, "request_cancelled", "This request was cancelled. Send it anew.", final=True)
        case _:
            return ApiError(500, "job_failed", "The job failed on the grid's nodes.", final=True)


def _rest(choice: ChoiceView, at: int, event_id: str) -> str:
    """The text of the choice from byte `at` on, as far as the view has it."""
    data = choice.text.encode()
    end = choice.text_from + len(data)
    if choice.text_from > at or (end < choice.bytes and at < choice.bytes and choice.state is JobState.COMPLETED):
        raise ApiError(410, "text_gone", "The text of this request is no longer kept. Send it anew.", final=True)
    try:
        return data[at - choice.text_from :].decode()
    except UnicodeDecodeError:
        raise _bad_place(event_id, f"byte {at} is inside a character of choice {choice.index}") from None


def _total(at: str, view: RequestView) -> Total:
    prompt_tokens = max(choice.prompt_tokens or 0 for choice in view.choices)
    return Total(at, prompt_tokens, sum(choice.tokens for choice in view.choices))


def _bad_place(event_id: str, allowed: str) -> ApiError:
    return ApiError(
        400, "invalid_value", f"Last-Event-ID = {event_id[:60]!r} is not allowed: {allowed}.", param="Last-Event-ID"
    )
