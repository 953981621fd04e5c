"""A real PostgreSQL for the tests: one server for the run, a database for each test, made from a template."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from bench.postgres import Postgres, running
from gogrid_desktop.coordinator.store.postgres import PostgresStore

_TEMPLATE = "template_of_tests"
_numbers = count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def new_database(postgres: Postgres) -> Callable[[], str]:
    """Makes a database with all tables, and gives its address."""
    PostgresStore(postgres.new_database(_TEMPLATE))
    return lambda: postgres.new_database(f"test_{next(_numbers)}", _TEMPLATE)
