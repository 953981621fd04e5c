"""A bound on every request body, kept while it arrives: nobody fills the memory by sending."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: So many times the limit is still read (and dropped), so that an honest sender gets to see the refusal.
_DRAINED = 4


class BodyLimit:
    """ASGI middleware: 413 for a body over `max_bytes`, announced or not. The app then sees a caller who hung up."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            await self._refuse(scope, receive, send)
            return
        seen_bytes, refused = 0, False

        async def bounded() -> Message:
            nonlocal seen_bytes, refused
            if refused:
                return {"type": "http.disconnect"}
            message = await receive()
            seen_bytes += len(message.get("body", b""))
            if seen_bytes > self._max_bytes:
                refused = True
                await self._refuse(scope, receive, send)
                return {"type": "http.disconnect"}
            return message

        async def unless_refused(message: Message) -> None:
            if not refused:
                await send(message)

        await self._app(scope, bounded, unless_refused)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        budget_bytes = _DRAINED * self._max_bytes
        while budget_bytes > 0:
            message = await receive()
            budget_bytes -= len(message.get("body", b""))
            if not message.get("more_body", False):
                break
        error = {
            "code": "body_too_large",
            "type": "invalid_request_error",
            "message": f"The body is larger than {self._max_bytes / 2**20:g} MiB.",
            "param": None,
            "remedy": "Send less at once.",
        }
        await JSONResponse({"error": error}, 413, {"Connection": "close"})(scope, receive, send)
