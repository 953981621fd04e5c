"""`gogrid demo`: its figures add up, and nothing is left behind, also after Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.model

DEMO = (sys.executable, "-m", "gogrid_desktop", "demo", "--json")
KEYS = {
    "jobs_completed", "jobs_failed", "tokens_generated", "tokens_per_s", "leases", "heartbeats", "jobs_resumed",
    "tokens_lost", "wall_s",
}  # fmt: skip


def left_behind(folder: Path) -> list[str]:
    """Processes whose state lies below `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            home = process.environ().get("GOGRID_HOME", "")
            if home.startswith(str(folder)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_the_demo_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        DEMO, env=environment | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures.keys() >= KEYS
    assert figures["jobs_completed"] == 11
    assert (figures["jobs_failed"], figures["tokens_lost"]) == (0, 0)
    assert figures["jobs_resumed"] >= 1
    assert figures["tokens_generated"] == figures["tokens_checked"] > 11
    assert "killed" in done.stdout
    assert left_behind(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_stopped_in_the_middle_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        DEMO, env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while "Coordinator on" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(4)  # somewhere between joining and the first answer
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert left_behind(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
