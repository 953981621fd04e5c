"""Endpoints for nodes: enrolment, lease calls, reports, catalogue and model files."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from pydantic import ValidationError

from gogrid_desktop.coordinator import auth
from gogrid_desktop.coordinator.desk import catalogue
from gogrid_desktop.coordinator.grid import Grid
from gogrid_desktop.coordinator.lately import Lately
from gogrid_desktop.coordinator.reports import take
from gogrid_desktop.coordinator.scheduler import Matchmaker
from gogrid_desktop.coordinator.store.port import Ahead
from gogrid_desktop.coordinator.store.records import ModelRecord, NodeRecord
from gogrid_desktop.errors import AuthRejected, BadInput, RateLimited, Refused
from gogrid_desktop.protocol.grid import (
    REPORTS_PER_S,
    Catalogue,
    Enrolled,
    Invite,
    LeaseCall,
    Leases,
    Report,
    Reported,
    Sha256,
    Wire,
)

W = TypeVar("W", bound=Wire)

MAX_WAIT_S = 3600


async def _caller(request: Request) -> NodeRecord:
    """The node whose token the call carries. Raises AuthRejected."""
    grid: Grid = request.app.state.grid
    nodes: Lately[str, NodeRecord] = request.app.state.nodes
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AuthRejected("This call needs a node's token.", "Join the grid with an invite code.")
    now, key = grid.now(), auth.hashed(token.strip())

    async def ask() -> NodeRecord:
        return await grid.store.read(lambda tx: auth.node_of(tx, key, now), Ahead(NodeRecord, "token_hash", (key,)))

    node = await nodes.get(key, ask)
    grid.presence.saw(node, now)
    return node


async def _body(model: type[W], request: Request) -> W:
    """The body of a call, parsed from its bytes: Python's own parser would let half a surrogate pair through."""
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None


def _wait_s(request: Request) -> float:
    """Raises BadInput."""
    asked = request.query_params.get("wait", "25")
    try:
        wait_s = float(asked)
    except ValueError:
        wait_s = -1.0
    if not 0 <= wait_s <= MAX_WAIT_S:
        raise BadInput("wait", asked, f"seconds from 0 to {MAX_WAIT_S}")
    return wait_s


def _takes(model: type[Wire]) -> dict[str, Any]:
    """How the OpenAPI document says what a call takes."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


def _answer(body: Wire) -> Response:
    """What was made here needs no second look: only what comes from outside is checked."""
    return Response(body.model_dump_json(), media_type="application/json")


Caller = Annotated[NodeRecord, Depends(_caller)]


def router(grid: Grid, matchmaker: Matchmaker) -> APIRouter:
    """The routes below `/grid/v1`; refusals are GoGridErrors, which the app turns into answers."""
    routes = APIRouter(prefix="/grid/v1")

    @routes.post("/nodes", response_model=Enrolled, openapi_extra=_takes(Invite))
    async def enrol(request: Request) -> Response:
        invite, now = await _body(Invite, request), grid.now()
        return _answer(await grid.store.write(lambda tx: auth.enrol(tx, invite, now)))

    @routes.post("/leases", response_model=Leases, openapi_extra=_takes(LeaseCall))
    async def leases(request: Request) -> Response:
        node, call, wait_s = await _caller(request), await _body(LeaseCall, request), _wait_s(request)
        if auth.offering(node, call, 0.0) is not node:
            now, ahead = grid.now(), Ahead(NodeRecord, "token_hash", (node.token_hash,))
            known = node
            node = await grid.store.write(lambda tx: auth.offer(tx, known, call, now), ahead)
            request.app.state.nodes.put(node.token_hash, node)
            grid.presence.saw(node, now)
            grid.committed(work=True)
        return _answer(await matchmaker.lease(node, call, min(wait_s, grid.settings.max_wait_s), _gone(request)))

    @routes.post("/reports", response_model=Reported, openapi_extra=_takes(Report))
    async def reports(request: Request) -> Response:
        node, report = await _caller(request), await _body(Report, request)
        if not grid.presence.allow_report(node.id, grid.now()):
            raise RateLimited(f"More than {REPORTS_PER_S} reports in a second.", 1.0, "Send fewer, larger ones.")
        return _answer(await take(grid, node.id, report))

    @routes.get("/models")
    async def models(node: Caller) -> Catalogue:
        return Catalogue(models=catalogue(await grid.store.read(lambda tx: tx.find(ModelRecord))))

    @routes.get("/models/{sha256}")
    async def model_file(node: Caller, sha256: Sha256) -> FileResponse:
        found = await grid.store.read(lambda tx: tx.one(ModelRecord, sha256=sha256))
        if found is None or not found.shared:
            raise Refused("This coordinator does not give out that file.", 404, "Fetch the model from its publisher.")
        return FileResponse(found.path, media_type="application/octet-stream", headers={"ETag": f'"{sha256}"'})

    return routes


async def _gone(request: Request) -> None:
    """Returns when the caller has hung up. The body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
