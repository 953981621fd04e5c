"""Text from tokens: nothing early, nothing doubled, nothing past a stop string."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.worker.text import TextStream

TEXTS = st.text(alphabet="abé漢🙂\n", max_size=30)
STOPS = st.lists(st.text(alphabet="abé🙂", min_size=1, max_size=4), max_size=3)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def expected(text: str, stops: list[str]) -> str:
    """Character by character: cut where the first stop string is complete, before the longest that is."""
    for end in range(1, len(text) + 1):
        complete = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: min(complete)]
    return text


@given(TEXTS, STOPS, st.lists(st.integers(0, 120), max_size=20))
def test_the_text_does_not_depend_on_how_the_bytes_are_cut(text: str, stops: list[str], cuts: list[int]) -> None:
    stream = TextStream(stops)
    released = "".join(stream.push(piece) for piece in pieces_of(text.encode(), cuts)) + stream.finish()
    assert released == expected(text, stops)
    assert stream.stopped is (expected(text, stops) != text)


@given(TEXTS, STOPS, st.lists(st.integers(0, 120), max_size=20))
def test_released_text_is_never_taken_back(text: str, stops: list[str], cuts: list[int]) -> None:
    stream, released = TextStream(stops), ""
    for piece in pieces_of(text.encode(), cuts):
        released += stream.push(piece)
        assert expected(text, stops).startswith(released)


@given(st.binary(max_size=60), STOPS, st.lists(st.integers(0, 60), max_size=20))
def test_bytes_that_are_no_text_give_the_same_however_they_are_cut(
    data: bytes, stops: list[str], cuts: list[int]
) -> None:
    whole, cut = TextStream(stops), TextStream(stops)
    expected = whole.push(data) + whole.finish()
    assert "".join(cut.push(piece) for piece in pieces_of(data, cuts)) + cut.finish() == expected
    assert cut.stopped is whole.stopped


@given(TEXTS, STOPS)
def test_what_is_held_back_is_less_than_a_stop_string_and_a_character(text: str, stops: list[str]) -> None:
    stream, data = TextStream(stops), text.encode()
    for end in range(1, len(data) + 1):
        stream.push(data[end - 1 : end])
    if not stream.stopped:
        assert len(stream.finish().encode()) <= max((len(stop.encode()) - 1 for stop in stops), default=0) + 3


def test_a_stop_string_is_found_between_bytes_that_are_no_text() -> None:
    stream = TextStream(["é"])
    assert stream.push(b"a\xf0\x9f") + stream.push(b"\xc3") + stream.push(b"\xa9\xff") == "a\ufffd"
    assert stream.stopped


def test_half_a_character_that_begins_a_stop_string_is_held_back_with_it() -> None:
    stream = TextStream(["🙂!"])
    assert [stream.push(piece) for piece in (b"a\xf0\x9f", b"\x99\x82", b"?")] == ["a", "", "🙂?"]


def test_a_stop_string_longer_than_the_text_changes_nothing() -> None:
    stream = TextStream(["x" * 100_000])
    assert stream.push(b"xxx") + stream.push(b"y") + stream.push(b"x") + stream.finish() == "xxxyx"
    assert not stream.stopped


def test_a_character_waits_for_its_last_byte() -> None:
    stream = TextStream(())
    assert [stream.push(bytes([byte])) for byte in "🙂".encode()] == ["", "", "", "🙂"]


def test_text_that_cannot_become_a_stop_string_is_released_at_once() -> None:
    assert TextStream(["END"]).push(b"hello") == "hello"


def test_the_beginning_of_a_stop_string_is_held_back_until_it_fails() -> None:
    stream = TextStream(["END"])
    assert [stream.push(piece) for piece in (b"x E", b"N", b"C")] == ["x ", "", "ENC"]


def test_what_was_held_back_comes_with_the_end() -> None:
    stream = TextStream(["END"])
    assert stream.push(b"x EN") + "|" + stream.finish() == "x |EN"


def test_nothing_comes_after_a_stop_string() -> None:
    stream = TextStream(["END"])
    assert stream.push(b"a END b") == "a "
    assert stream.push(b"c") + stream.finish() == ""


@pytest.mark.parametrize(("data", "text"), [(b"a\xff b", "a\ufffd b"), (b"\xf0\x9f", "\ufffd")])
def test_bytes_that_are_no_utf8_become_the_replacement_character(data: bytes, text: str) -> None:
    stream = TextStream(())
    assert stream.push(data) + stream.finish() == text
