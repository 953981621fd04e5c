"""The coordinator's web application: routes, refusals, and the tasks behind them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gogrid_desktop import __version__
from gogrid_desktop.coordinator.crypto import open_vault
from gogrid_desktop.coordinator.desk import GridDesk
from gogrid_desktop.coordinator.front import Front, Refuse, endpoints
from gogrid_desktop.coordinator.grid import new_grid, remember
from gogrid_desktop.coordinator.lately import Lately
from gogrid_desktop.coordinator.limits import BodyLimit
from gogrid_desktop.coordinator.news import run_hearing, run_telling
from gogrid_desktop.coordinator.routes import health, nodes, openai, requests
from gogrid_desktop.coordinator.scheduler import Matchmaker
from gogrid_desktop.coordinator.settings import CoordinatorSettings
from gogrid_desktop.coordinator.store.opening import open_store
from gogrid_desktop.coordinator.store.port import Store
from gogrid_desktop.coordinator.store.records import NodeRecord
from gogrid_desktop.coordinator.sweep import run_flushes, run_sweeps, sweep
from gogrid_desktop.errors import (
    AuthRejected,
    BadInput,
    GoGridError,
    InviteRejected,
    RateLimited,
    Refused,
    StorageAway,
    StorageFull,
)

log = logging.getLogger(__name__)

_STATUS: dict[type[GoGridError], int] = {
    AuthRejected: 401,
    InviteRejected: 403,
    BadInput: 400,
    StorageFull: 507,
    StorageAway: 503,
}

Failed = Callable[[BaseException], None]


def _raise(error: BaseException) -> None:
    raise error


def create_app(settings: CoordinatorSettings, store: Store | None = None, failed: Failed = _raise) -> FastAPI:
    """The application over the database in `settings.data`, or over another store.

    `failed` hears of an error that ends the coordinator: at the start, or of one of its tasks. `app.state.desk` is the
    Desk; `app.state.close()` ends all long calls at once. Raises ConfigError, StorageError.
    """
    vault = open_vault(settings.key, settings.key_file)
    grid = new_grid(settings, store or open_store(settings), vault)
    matchmaker = Matchmaker(grid)

    def close() -> None:
        matchmaker.close()
        grid.bells.close()

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        tasks: list[asyncio.Task[None]] = []
        try:
            await remember(grid)
            await sweep(grid)
        except GoGridError as error:
            failed(error)
        else:
            tasks = [
                asyncio.create_task(matchmaker.run(), name="matchmaker"),
                asyncio.create_task(run_sweeps(grid), name="sweep"),
                asyncio.create_task(run_flushes(grid), name="flush"),
                asyncio.create_task(run_telling(grid), name="tell"),
                asyncio.create_task(run_hearing(grid), name="hear"),
            ]
        for task in tasks:
            task.add_done_callback(lambda done: _ended(done, failed))
        yield
        close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await grid.store.close()

    app = _App(title="GoGrid coordinator", version=__version__, lifespan=life, docs_url=None, redoc_url=None)
    app.state.desk = GridDesk(grid)
    app.state.grid = grid
    app.state.nodes = Lately[str, NodeRecord]()
    app.state.close = close
    of_nodes, of_submitters = nodes.router(grid, matchmaker), openai.router(app.state.desk)
    for router in (health.router(grid), of_nodes, of_submitters, requests.router(app.state.desk)):
        app.include_router(router)
    refusals: dict[type[Exception], Refuse] = {GoGridError: _refused, RequestValidationError: _not_understood}
    for kind, refuse in refusals.items():
        app.add_exception_handler(kind, refuse)
    front = Front(app.routed, endpoints=endpoints(of_nodes, of_submitters), refusals=refusals)
    app.first = BodyLimit(front, max_bytes=settings.max_body_bytes)
    return app


class _App(FastAPI):
    """Everything comes to `first` before FastAPI sees it."""

    first: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["app"] = self
            await self.first(scope, receive, send)
        else:
            await self.routed(scope, receive, send)

    async def routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)


def _ended(task: asyncio.Task[None], failed: Failed) -> None:
    """A task behind the application runs for ever; one that ends by itself takes the process down."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("the task %r failed", task.get_name(), exc_info=error)
        failed(error)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, GoGridError):
        raise error
    code = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
    status = error.status if isinstance(error, Refused) else _STATUS.get(type(error), 500)
    headers = {}
    if isinstance(error, RateLimited):
        status, headers = 429, {"Retry-After": f"{error.retry_after_s:g}"}
    content = {"error": {"code": code, "message": error.message, "remedy": error.remedy}}
    return JSONResponse(content, status, headers)


async def _not_understood(_: Request, error: Exception) -> JSONResponse:
    """Where a body does not fit and why; never what was sent."""
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "body"
    content = {"code": "bad_input", "message": f"{where}: {first['msg']}.", "remedy": "Update GoGrid on this machine."}
    return JSONResponse({"error": content}, 422)
