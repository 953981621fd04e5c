"""A bound on bodies, kept while they arrive."""

from __future__ import annotations

import pytest
from starlette.types import Message, Receive, Scope, Send

from gogrid_desktop.coordinator.limits import BodyLimit


async def reading_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the whole body and says how long it was."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            await send({"type": "http.response.start", "status": 500, "headers": []})
            return
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


async def status(pieces: list[bytes], announced: int | None) -> int:
    headers = [] if announced is None else [(b"content-length", str(announced).encode())]
    left = list(pieces)

    async def receive() -> Message:
        if not left:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await BodyLimit(reading_app, 10)({"type": "http", "headers": headers}, receive, send)
    starts = [message["status"] for message in sent if message["type"] == "http.response.start"]
    assert len(starts) == 1
    return int(starts[0])


@pytest.mark.parametrize(
    ("pieces", "announced", "expected"),
    [
        ([b"x" * 10], 10, 200),
        ([b"x" * 5, b"x" * 5], None, 200),
        ([b"x" * 11], 11, 413),
        ([b"x" * 5, b"x" * 6], None, 413),
        ([b"x" * 5, b"x" * 6, b"x" * 1000, b"x" * 1000], None, 413),
        ([b"x" * 5, b"x" * 6], 3, 413),
        ([b""], None, 200),
    ],
)
async def test_a_body_over_the_limit_is_refused_however_it_comes(
    pieces: list[bytes], announced: int | None, expected: int
) -> None:
    assert await status(pieces, announced) == expected


async def test_what_is_no_request_passes() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        return None

    await BodyLimit(app, 10)({"type": "lifespan"}, receive, send)
    assert seen == ["lifespan"]
