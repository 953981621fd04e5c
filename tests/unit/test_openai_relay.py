"""The relay lets go: whatever way an answer ends, its reading of the desk ends with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gogrid_desktop.coordinator.cursor import Piece, Text
from gogrid_desktop.coordinator.relay import EventStream, Steps, until_status
from gogrid_desktop.coordinator.sse import Shape

SHAPE = Shape("req-1", chat=True, model="tiny", created=9)
SCOPE: Any = {"type": "http", "asgi": {"spec_version": "2.3"}}


async def steps_of(closed: list[bool], *steps: tuple[Piece, ...]) -> Steps:
    try:
        for step in steps:
            yield step
        await asyncio.Event().wait()
    finally:
        closed.append(True)


async def test_a_client_that_leaves_while_it_is_written_to_ends_the_reading() -> None:
    closed: list[bool] = []
    steps = steps_of(closed, (Text("1", 0, "a"),), (Text("2", 0, "b"),))
    first = await until_status(steps)
    writing = asyncio.Event()

    async def receive() -> Any:
        await writing.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            writing.set()
            await asyncio.Event().wait()  # the socket takes no more

    stream = EventStream(SHAPE, b"", first, steps)
    await stream(SCOPE, receive, send)
    assert closed == [True]


async def test_a_client_that_left_before_the_first_byte_ends_the_reading() -> None:
    closed: list[bool] = []
    steps = steps_of(closed, (Text("1", 0, "a"),))
    first = await until_status(steps)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError("nobody is there")

    stream = EventStream(SHAPE, b"", first, steps)
    with pytest.raises(AssertionError):
        await stream({**SCOPE, "asgi": {"spec_version": "2.4"}}, receive, send)
    assert closed == [True]


async def test_the_status_line_waits_for_two_ticks_at_most() -> None:
    assert await until_status(steps_of([], (), ())) == ()
    text = (Text("1", 0, "a"),)
    assert await until_status(steps_of([], (), text)) == text
