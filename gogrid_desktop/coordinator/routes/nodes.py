"""Endpoints for nodes: enrolment, lease calls, reports, catalogue and model files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from pydantic import ValidationError

from gogrid_desktop.coordinator import auth
from gogrid_desktop.coordinator.desk import catalogue
from gogrid_desktop.coordinator.grid import Grid
from gogrid_desktop.coordinator.reports import take
from gogrid_desktop.coordinator.scheduler import Matchmaker
from gogrid_desktop.coordinator.store.records import ModelRecord, NodeRecord
from gogrid_desktop.errors import AuthRejected, RateLimited, Refused
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


async def _caller(request: Request) -> NodeRecord:
    """The node whose token the call carries. Raises AuthRejected."""
    grid: Grid = request.app.state.grid
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AuthRejected("This call needs a node's token.", "Join the grid with an invite code.")
    now = grid.now()
    node = await grid.store.read(lambda tx: auth.node_of(tx, token.strip(), now))
    grid.presence.saw(node, now)
    return node


def _body(model: type[W]) -> Callable[[Request], Awaitable[W]]:
    """The body of a call, parsed from its bytes: Python's own parser would let half a surrogate pair through."""

    async def parsed(request: Request) -> W:
        try:
            return model.model_validate_json(await request.body())
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None

    return parsed


Caller = Annotated[NodeRecord, Depends(_caller)]


def router(grid: Grid, matchmaker: Matchmaker) -> APIRouter:
    """The routes below `/grid/v1`; refusals are GoGridErrors, which the app turns into answers."""
    routes = APIRouter(prefix="/grid/v1")

    @routes.post("/nodes")
    async def enrol(invite: Annotated[Invite, Depends(_body(Invite))]) -> Enrolled:
        now = grid.now()
        return await grid.store.write(lambda tx: auth.enrol(tx, invite, now))

    @routes.post("/leases")
    async def leases(
        request: Request,
        node: Caller,
        call: Annotated[LeaseCall, Depends(_body(LeaseCall))],
        wait: Annotated[float, Query(ge=0, le=3600)] = 25.0,
    ) -> Leases:
        offering = auth.offering(node, call)
        if offering != node:
            await grid.store.write(lambda tx: tx.put(offering))
            grid.presence.saw(offering, grid.now())
            grid.work.set()
        return await matchmaker.lease(offering, call, min(wait, grid.settings.max_wait_s), _gone(request))

    @routes.post("/reports")
    async def reports(node: Caller, report: Annotated[Report, Depends(_body(Report))]) -> Reported:
        if not grid.presence.allow_report(node.id, grid.now()):
            raise RateLimited(f"More than {REPORTS_PER_S} reports in a second.", 1.0, "Send fewer, larger ones.")
        return await take(grid, node.id, report)

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
