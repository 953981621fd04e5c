"""What a submitter can do with a request by its id: see how it stands, go on reading it, cancel it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gogrid_desktop.coordinator import relay, sse
from gogrid_desktop.coordinator.cursor import Cursor
from gogrid_desktop.coordinator.ports import Account, ChoiceView, Desk, RequestView
from gogrid_desktop.coordinator.refusal import FaceRoute, caller, no_such_request
from gogrid_desktop.protocol.grid import ChoiceState, Have, RequestState


def router(desk: Desk, *, tick_s: float = relay.TICK_S) -> APIRouter:
    routes = APIRouter(route_class=FaceRoute, prefix="/grid/v1/requests")

    @routes.get("/{id}")
    async def state(request: Request, id: str) -> Response:
        account = await caller(desk, request)
        return _state(await found(request, id, account, ledger=True))

    @routes.delete("/{id}")
    async def cancel(request: Request, id: str) -> Response:
        """Cancels what has not ended; answers how it stands then."""
        account = await caller(desk, request)
        await found(request, id, account)
        await desk.cancel(id)
        return _state(await found(request, id, account, ledger=True))

    @routes.get("/{id}/stream")
    async def stream(request: Request, id: str, include_usage: bool = False) -> Response:
        """The rest of the stream after `Last-Event-ID` (none = all of it)."""
        account = await caller(desk, request)
        view = await found(request, id, account)
        event_id = request.headers.get("last-event-id")
        cursor = Cursor.resume(event_id, view)
        names = {model.sha256: model.id for model in await desk.models()}
        shape = sse.Shape.of(view, names.get(view.model, view.model), include_usage=include_usage)
        steps = relay.follow(desk, view, cursor, tick_s)
        return await relay.stream(request, shape, steps, cursor if event_id is None else None)

    async def found(request: Request, id: str, account: Account, *, ledger: bool = False) -> RequestView:
        view = await desk.view(id, account.id, ledger=ledger)
        if view is None:
            raise no_such_request(id)
        request.state.grid_request = id
        return view

    return routes


def _state(view: RequestView) -> Response:
    state = RequestState(
        id=view.id,
        model=view.model,
        created=view.created,
        choices=tuple(_choice_state(choice) for choice in view.choices),
    )
    return JSONResponse(state.model_dump(mode="json"))


def _choice_state(choice: ChoiceView) -> ChoiceState:
    return ChoiceState(
        index=choice.index,
        job=choice.job,
        state=choice.state,
        have=Have(tokens=choice.tokens, bytes=choice.bytes),
        finish_reason=choice.finish_reason,
        prompt_tokens=choice.prompt_tokens,
        error=choice.error.message if choice.error else "",
        ledger=choice.ledger,
    )
