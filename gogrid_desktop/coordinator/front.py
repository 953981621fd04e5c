"""A short way to the calls that come a thousand times in a second: from the method and path to their endpoint at once.

FastAPI asks every route of every router in turn, and prepares dependencies that these calls do not have. They are its
routes all the same (and in its OpenAPI document), so that without this they only take longer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gogrid_desktop.coordinator.refusal import FaceRoute, faced
from gogrid_desktop.errors import GoGridError

Endpoint = Callable[[Request], Awaitable[Response]]
Refuse = Callable[[Request, Exception], Awaitable[Response]]

PATHS = frozenset({"/grid/v1/leases", "/grid/v1/reports", "/v1/chat/completions", "/v1/completions"})


def endpoints(*routers: APIRouter) -> dict[tuple[str, str], Endpoint]:
    """Those of `PATHS`, each with what its route does around it. They take nothing but the request."""
    found: dict[tuple[str, str], Endpoint] = {}
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.path in PATHS:
                plain: Endpoint = faced(route.endpoint) if isinstance(route, FaceRoute) else route.endpoint
                found |= {(method, route.path): plain for method in route.methods or ()}
    return found


class Front:
    """ASGI middleware. `refusals`: what turns which errors into answers."""

    def __init__(
        self, app: ASGIApp, endpoints: Mapping[tuple[str, str], Endpoint], refusals: Mapping[type[Exception], Refuse]
    ) -> None:
        self._app = app
        self._endpoints = endpoints
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            response = await endpoint(request)
        except (GoGridError, RequestValidationError) as error:
            kind = GoGridError if isinstance(error, GoGridError) else RequestValidationError
            response = await self._refusals[kind](request, error)
        await response(scope, receive, send)
