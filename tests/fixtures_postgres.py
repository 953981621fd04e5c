"""A real PostgreSQL for the tests: one server for the run, a database for each test, made from a template."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import psycopg
import pytest
from sqlalchemy import make_url

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
    url = postgres.new_database(_TEMPLATE)
    PostgresStore(url)._shut()

    def make() -> str:
        name = f"test_{next(_numbers)}"
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return make_url(url).set(database=name).render_as_string(hide_password=False)

    return make
