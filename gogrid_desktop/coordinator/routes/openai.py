"""The OpenAI API: `/v1/models`, `/v1/chat/completions`, `/v1/completions`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gogrid_desktop.coordinator import face, relay, sse
from gogrid_desktop.coordinator.cursor import Cursor
from gogrid_desktop.coordinator.ports import Desk
from gogrid_desktop.coordinator.refusal import CLIENT_GONE, ApiError, FaceRoute, caller
from gogrid_desktop.protocol.openai import ChatRequest, CompletionRequest

_CALLS = "POST /v1/chat/completions, POST /v1/completions, GET /v1/models, GET /v1/models/{id}"


def router(desk: Desk, *, tick_s: float = relay.TICK_S, now: Callable[[], float] = time.time) -> APIRouter:
    """The routes over `desk`. `now` (seconds since the epoch) is the one clock that a chat template sees."""
    routes = APIRouter(route_class=FaceRoute)

    @routes.get("/v1/models")
    async def models(request: Request) -> Response:
        await caller(desk, request)
        return JSONResponse({"object": "list", "data": [sse.model_object(model) for model in await desk.models()]})

    @routes.get("/v1/models/{name:path}")
    async def model(request: Request, name: str) -> Response:
        await caller(desk, request)
        return JSONResponse(sse.model_object(face.choose(await desk.models(), name)))

    @routes.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        return await generate(request, face.parse_chat)

    @routes.post("/v1/completions")
    async def completions(request: Request) -> Response:
        return await generate(request, face.parse_completion)

    @routes.api_route("/v1/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def elsewhere(request: Request, rest: str) -> Response:
        await caller(desk, request)
        raise ApiError(404, "unknown_url", f"{request.method} /v1/{rest} is not offered. Calls of this grid: {_CALLS}.")

    async def generate(request: Request, parse: Callable[[bytes], ChatRequest | CompletionRequest]) -> Response:
        account = await caller(desk, request)
        wishes = face.wishes(request.headers, account)
        body = parse(await request.body())
        if wishes.resume_from is not None and not body.stream:
            raise ApiError(400, "invalid_value", "Last-Event-ID needs stream = true.", param="stream")
        model = face.choose(await desk.models(), body.model)
        view = await desk.submit(
            face.submission(
                body,
                model,
                account,
                wishes,
                request=request.state.grid_request,
                rendered_at=now(),
                random_seed=secrets.randbits(64),
            )
        )
        request.state.grid_request = view.id
        cursor = Cursor.resume(wishes.resume_from, view)
        shape = sse.Shape.of(view, model.id, include_usage=body.wants_usage)
        steps = relay.follow(desk, view, cursor, tick_s, whole=not body.stream)
        if body.stream:
            return await relay.stream(request, shape, steps, cursor if wishes.resume_from is None else None)
        pieces = await relay.unless_gone(request, relay.collect(steps))
        if pieces is None:
            if wishes.idempotency_key is None:
                await desk.cancel(view.id)
            return Response(status_code=CLIENT_GONE)
        return JSONResponse(shape.whole(pieces))

    return routes
