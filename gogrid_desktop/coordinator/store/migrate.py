"""Bringing a database to the schema of this version, with the migrations that ship inside the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

SCRIPTS = Path(__file__).with_name("migrations")


def upgrade(connection: Connection, to: str = "head") -> None:
    """Run what is missing up to a revision inside the transaction that is open on `connection`."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def some(condition: str) -> dict[str, Any]:
    """What makes an index one of some rows alone, on each database."""
    return {f"{dialect}_where": text(condition) for dialect in ("sqlite", "postgresql")}
