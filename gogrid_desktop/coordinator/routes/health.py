"""Endpoints for whoever watches the process: alive, and able to work."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from gogrid_desktop.coordinator.grid import Grid
from gogrid_desktop.coordinator.sweep import GAP_S


def router(grid: Grid) -> APIRouter:
    """`/healthz`: the process answers. `/readyz`: a sweep succeeded lately, so the database can be written."""
    routes = APIRouter()

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get("/readyz")
    async def readyz() -> JSONResponse:
        age_s = grid.now() - grid.swept_at
        ready = 0 <= age_s <= GAP_S
        word = "ready" if ready else f"the last sweep succeeded {age_s:.0f} s ago: can the database be written?"
        return JSONResponse({"status": word}, 200 if ready else 503)

    return routes
