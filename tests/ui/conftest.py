"""Tests of the user interface run without a display, each with a folder of its own."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"

import pytest
from fixtures_scripted_agent import ScriptedAgent

from gogrid_desktop.paths import AppPaths, app_paths


@pytest.fixture(autouse=True)
def garbage_is_collected_in_the_main_thread() -> Iterator[None]:
    """Qt's objects must die in their own thread, but the collector runs in any: in the scripted agent's too."""
    gc.disable()
    yield
    gc.collect()
    gc.enable()


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppPaths:
    monkeypatch.setenv("GOGRID_HOME", str(tmp_path))
    return app_paths()


@pytest.fixture
def agent(paths: AppPaths) -> Iterator[ScriptedAgent]:
    it = ScriptedAgent(paths.endpoint_file)
    yield it
    it.close()
