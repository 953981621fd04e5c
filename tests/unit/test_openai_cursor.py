"""A reader's place in a request: no byte twice, none missing, whatever the text and wherever the stream broke."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.coordinator.cursor import Cursor, Finish, Piece, Text, Total, failure
from gogrid_desktop.coordinator.ports import ChoiceView, JobError, JobState, RequestView
from gogrid_desktop.coordinator.refusal import ApiError
from gogrid_desktop.coordinator.sse import Shape
from gogrid_desktop.protocol.grid import FinishReason, JobKind

DONE = JobState.COMPLETED
RUNNING = JobState.LEASED


def choice(text: str, index: int = 0, *, after: int = 0, state: JobState = RUNNING, **fields: Any) -> ChoiceView:
    """A choice with all of `text` so far, as the desk shows it from byte `after` on."""
    data = text.encode()
    reason = FinishReason.LENGTH if state is DONE else None
    values = {"tokens": len(text), "bytes": len(data), "prompt_tokens": 3, "finish_reason": reason, "error": None}
    rest = data[after:].decode()
    return ChoiceView(index=index, job=f"job-{index}", state=state, text=rest, text_from=after, **{**values, **fields})


def view(*choices: ChoiceView, kind: JobKind = JobKind.CHAT) -> RequestView:
    return RequestView(id="req-1", kind=kind, model="a" * 64, created=9.5, choices=choices)


def grown(texts: list[str], sent: tuple[int, ...], *, done: bool = False) -> RequestView:
    state = DONE if done else RUNNING
    return view(*(choice(text, i, after=sent[i], state=state) for i, text in enumerate(texts)))


def text_of(pieces: list[Piece], index: int) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Text) and piece.choice == index)


# One to three choices, each as the parts that arrive by and by.
growth = st.integers(1, 3).flatmap(
    lambda n: st.lists(st.lists(st.text(max_size=6), min_size=n, max_size=n), min_size=1, max_size=6)
)


def read(steps: list[list[str]], cursor: Cursor) -> list[Piece]:
    """All pieces that a reader at `cursor` gets while the text grows by `steps`."""
    pieces: list[Piece] = []
    texts = [""] * len(steps[0])
    for number, step in enumerate(steps):
        texts = [text + more for text, more in zip(texts, step, strict=True)]
        if any(len(text.encode()) < at for text, at in zip(texts, cursor.sent, strict=True)):
            continue  # the reader's place was read from a later view
        cursor, new = cursor.advance(grown(texts, cursor.sent, done=number == len(steps) - 1))
        pieces += new
    return pieces


@given(growth)
def test_the_pieces_of_growing_text_are_the_text(steps: list[list[str]]) -> None:
    n = len(steps[0])
    pieces = read(steps, Cursor((0,) * n))
    for index in range(n):
        assert text_of(pieces, index) == "".join(step[index] for step in steps)
    assert [piece.choice for piece in pieces if isinstance(piece, Finish)] == list(range(n))
    assert isinstance(pieces[-1], Total)


@given(growth, st.data())
def test_a_resume_from_any_event_gives_the_exact_rest(steps: list[list[str]], data: st.DataObject) -> None:
    n = len(steps[0])
    pieces = read(steps, Cursor((0,) * n))
    broken = data.draw(st.integers(0, len(pieces) - 1))
    whole = ["".join(step[index] for step in steps) for index in range(n)]
    cursor = Cursor.resume(pieces[broken].at, grown(whole, (0,) * n, done=True))
    assert cursor.at == pieces[broken].at
    _, rest = cursor.advance(grown(whole, cursor.sent, done=True))
    for index in range(n):
        assert text_of(pieces[: broken + 1], index) + text_of(list(rest), index) == whole[index]
    assert isinstance(rest[-1], Total)


@given(growth, st.data())
def test_a_resume_while_the_text_still_grows_gives_the_exact_rest(steps: list[list[str]], data: st.DataObject) -> None:
    n = len(steps[0])
    seen = data.draw(st.integers(1, len(steps)))
    half = ["".join(step[index] for step in steps[:seen]) for index in range(n)]
    cursor, before = Cursor((0,) * n).advance(grown(half, (0,) * n))
    after = read(steps, Cursor.resume(cursor.at, grown(half, (0,) * n)))
    for index in range(n):
        assert text_of(list(before) + after, index) == "".join(step[index] for step in steps)


@given(growth)
def test_streamed_chunks_carry_the_text_that_the_whole_answer_has(steps: list[list[str]]) -> None:
    n = len(steps[0])
    pieces = read(steps, Cursor((0,) * n))
    shape = Shape("req-1", chat=True, model="tiny", created=9, include_usage=True)
    events = [event.split("data: ", 1)[1] for event in shape.events(pieces).decode("ascii").split("\n\n") if event]
    assert events.pop() == "[DONE]"
    chunks = [json.loads(event) for event in events]
    whole = shape.whole(pieces)
    for index, answer in enumerate(whole["choices"]):
        deltas = [one["delta"] for chunk in chunks for one in chunk["choices"] if one["index"] == index]
        assert "".join(delta.get("content", "") for delta in deltas) == answer["message"]["content"]
    assert chunks[-1]["usage"] == whole["usage"]
    tokens = sum(len(text) for step in steps for text in step)
    assert whole["usage"] == {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": tokens + 3}


def test_no_event_id_is_the_start() -> None:
    assert Cursor.resume(None, view(choice("ab"), choice("c", 1))).at == "0,0"


@pytest.mark.parametrize(
    ("event_id", "words"),
    [
        ("4", "choice 0 has 3 bytes so far"),
        ("2", "byte 2 is inside a character of choice 0"),
        ("1,1", "one number for each of 1 choices"),
        ("", "bytes per choice"),
        ("-1", "bytes per choice"),
        ("1 ", "bytes per choice"),
        ("\u0661", "bytes per choice"),
        ("1" * 5000, "bytes per choice"),
    ],
)
def test_a_place_that_never_was_sent_is_a_400(event_id: str, words: str) -> None:
    with pytest.raises(ApiError) as caught:
        Cursor.resume(event_id, view(choice("aé")))
    assert (caught.value.status, caught.value.param) == (400, "Last-Event-ID")
    assert words in str(caught.value)


def test_text_that_is_no_longer_kept_is_a_410() -> None:
    purged = view(choice("", state=DONE, tokens=2, bytes=5))
    for event_id in ("0", "2"):
        with pytest.raises(ApiError, match="no longer kept") as caught:
            Cursor.resume(event_id, purged)
        assert caught.value.status == 410
    with pytest.raises(ApiError, match="no longer kept"):
        Cursor((0,)).advance(purged)


def test_a_reader_that_has_all_the_text_gets_the_end_even_when_the_text_is_gone() -> None:
    purged = view(choice("", state=DONE, tokens=2, bytes=5))
    _, pieces = Cursor.resume("5", purged).advance(purged)
    assert pieces == (Finish("5", 0, FinishReason.LENGTH), Total("5", 3, 2))


def test_a_view_that_starts_beyond_the_readers_place_is_never_taken_for_the_rest() -> None:
    with pytest.raises(ApiError):
        Cursor((1,)).advance(view(choice("abcd", after=2)))


def test_a_finished_choice_is_told_once_while_others_go_on() -> None:
    cursor, first = Cursor((0, 0)).advance(view(choice("ab", state=DONE), choice("", 1)))
    assert first == (Text("2,0", 0, "ab"), Finish("2,0", 0, FinishReason.LENGTH))
    cursor, second = cursor.advance(view(choice("ab", after=2, state=DONE), choice("c", 1)))
    assert second == (Text("2,1", 1, "c"),)
    _, third = cursor.advance(view(choice("ab", after=2, state=DONE), choice("c", 1, after=1, state=DONE)))
    assert third == (Finish("2,1", 1, FinishReason.LENGTH), Total("2,1", 3, 3))


FAILURES = [
    (JobState.EXPIRED, None, 504, "deadline_exceeded"),
    (JobState.CANCELLED, None, 409, "request_cancelled"),
    (JobState.FAILED, None, 500, "job_failed"),
    (
        JobState.FAILED,
        JobError(400, "context_length_exceeded", "Too long.", "messages"),
        400,
        "context_length_exceeded",
    ),
]


@pytest.mark.parametrize(("state", "error", "status", "code"), FAILURES)
def test_a_choice_that_ended_otherwise_fails_the_request_for_good(
    state: JobState, error: JobError | None, status: int, code: str
) -> None:
    found = failure(view(choice("a", state=DONE), choice("b", 1, state=state, error=error)))
    assert found is not None
    assert (found.status, found.code, found.headers) == (status, code, {"x-should-retry": "false"})


def test_the_failure_that_cancelled_the_other_choices_is_the_one_told() -> None:
    found = failure(view(choice("", state=JobState.CANCELLED), choice("", 1, state=JobState.FAILED)))
    assert found is not None
    assert found.code == "job_failed"


def test_a_request_under_way_or_completed_has_no_failure() -> None:
    assert failure(view(choice("a", state=DONE), choice("", 1, state=JobState.QUEUED))) is None
