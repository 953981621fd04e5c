"""From the desk to one reader over HTTP: waits, tells the desk that the reader is there, and notices when it is not.

Each reader has its own watch and its own place; between two looks at the desk nothing is held, so that a slow
or vanished reader holds up nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi.responses import StreamingResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gogrid_desktop.coordinator import sse
from gogrid_desktop.coordinator.cursor import Cursor, Piece, failure
from gogrid_desktop.coordinator.ports import Closing, Desk, RequestView
from gogrid_desktop.coordinator.refusal import CLIENT_GONE, ApiError, internal_error, stopping

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")
#: What `follow` yields: pieces, or nothing once per tick.
Steps = AsyncGenerator[tuple[Piece, ...], None]

#: How often a reader is told to the desk, and a silent stream says that it lives.
TICK_S = 5.0
#: The status line of a stream goes out after so many ticks at the latest.
STATUS_TICKS = 2


async def follow(
    desk: Desk, view: RequestView, cursor: Cursor, tick_s: float = TICK_S, *, whole: bool = False
) -> Steps:
    """Pieces of the request from `cursor` on until its end; an empty tuple every `tick_s`, when the reader is renewed.

    `whole`: nobody wants pieces before the end. Raises ApiError when the request failed, was cancelled, expired, or
    lost its text, and when the coordinator stops. When one choice fails the others are cancelled: no whole answer can
    come of them.
    """
    now = asyncio.get_running_loop().time
    request = view.id
    watch = desk.watch(request, ends=whole)
    try:
        await desk.touch_reader(request)
        tick_at = now() + tick_s
        while True:
            cursor, pieces = cursor.advance(view)
            if pieces:
                yield pieces
            if error := failure(view):
                if not view.ended:
                    await desk.cancel(request)
                raise error
            if view.ended:
                return
            try:
                await watch.changed(max(0.0, tick_at - now()))
            except Closing:
                raise stopping(request) from None
            if now() >= tick_at:
                await desk.touch_reader(request)
                tick_at = now() + tick_s
                yield ()
            view = await desk.look(view, cursor.sent)
    finally:
        watch.close()


async def until_status(steps: Steps) -> tuple[Piece, ...]:
    """The first pieces, or nothing once a stream's status line is due. Raises what `follow` raises."""
    ticks = 0
    async for pieces in steps:
        ticks += not pieces
        if pieces or ticks >= STATUS_TICKS:
            return pieces
    return ()


async def collect(steps: Steps) -> list[Piece]:
    """All pieces to the end. Raises what `follow` raises."""
    async with aclosing(steps):
        return [piece async for pieces in steps for piece in pieces]


async def unless_gone(request: Request, work: Coroutine[Any, Any, _Result]) -> _Result | None:
    """The result of `work`, or None if the client leaves first; `work` is cancelled then. The body must be read."""
    task = asyncio.create_task(work, name="answer")
    gone = asyncio.create_task(_disconnected(request), name="disconnect")
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def stream(request: Request, shape: sse.Shape, steps: Steps, start: Cursor | None) -> Response:
    """The answer as a stream; `start` is given when it is read from the beginning. Raises what `follow` raises.

    A client that leaves is not a cancelled request: it may come back for the rest.
    """
    first = await unless_gone(request, until_status(steps))
    if first is None:
        return Response(status_code=CLIENT_GONE)
    return EventStream(shape, shape.opening(start) if start else b"", first, steps)


class EventStream(StreamingResponse):
    """A stream of chunks as server-sent events. A failure after the status line becomes an `error` event, the last."""

    media_type = "text/event-stream"

    def __init__(self, shape: sse.Shape, opening: bytes, first: tuple[Piece, ...], steps: Steps) -> None:
        self._steps = steps
        self._events = _events(shape, opening, first, steps)
        super().__init__(self._events, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()
            await self._steps.aclose()


async def _events(
    shape: sse.Shape, opening: bytes, first: tuple[Piece, ...], steps: Steps
) -> AsyncGenerator[bytes, None]:
    try:
        yield opening + (shape.events(first) if first else sse.WAITING)
        async for pieces in steps:
            yield shape.events(pieces) if pieces else sse.WAITING
    except ApiError as error:
        yield sse.error_event(error)
    except Exception:
        log.exception("a stream to a submitter failed")
        yield sse.error_event(internal_error())
