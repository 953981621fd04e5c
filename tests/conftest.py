"""For all tests: an environment of their own, and properties that search anew on a desk and repeat themselves in CI."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

pytest_plugins = ["fixtures_nvml", "fixtures_postgres"]

settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the person who runs the tests has set must not reach them."""
    for name in ("GOGRID_HOME", "GOGRID_COORDINATOR_KEY", "GOGRID_WORKER_JOURNAL"):
        monkeypatch.delenv(name, raising=False)
