"""What the operator's commands share: where the database is, a transaction on it, a table or JSON."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gogrid_desktop.coordinator.crypto import KEY_VARIABLE
from gogrid_desktop.coordinator.settings import CoordinatorSettings
from gogrid_desktop.coordinator.store.opening import open_store
from gogrid_desktop.coordinator.store.port import Tx
from gogrid_desktop.paths import app_paths

T = TypeVar("T")

DATABASE_VARIABLE = "GOGRID_DATABASE"
Data = Annotated[
    str | None,
    typer.Option(
        *("--data", "--database"),
        envvar=DATABASE_VARIABLE,
        help="Folder of the database, or postgresql://user:password@host/name. Default: the user's own folder.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings_of(data: str | None) -> CoordinatorSettings:
    key, place = os.environ.get(KEY_VARIABLE, ""), data or ""
    if "://" in place:
        return CoordinatorSettings(data=app_paths().coordinator, key=key, database=place)
    return CoordinatorSettings(data=Path(place) if place else app_paths().coordinator, key=key)


def in_store(data: str | None, work: Callable[[Tx], T]) -> T:
    """Run one transaction on the database, beside a server that may be running. Raises GoGridErrors."""
    store = open_store(settings_of(data))

    async def whole() -> T:
        try:
            return await store.write(work)
        finally:
            await store.close()

    return asyncio.run(whole())


def show(as_json: bool, value: Any, title: str, rows: list[dict[str, Any]]) -> None:
    """Print `value` as JSON, or `rows` as a table."""
    if as_json:
        typer.echo(json.dumps(value))
        return
    if not rows:
        typer.echo(f"No {title}.")
        return
    table = Table(*rows[0], title=title, title_justify="left")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row.values()))
    Console(highlight=False).print(table)


def ago(at: float) -> str:
    seconds = max(0, int(time.time() - at))
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago"
