"""Settings that only a new process takes up, changed while the grid runs; what `gogrid status` says of a worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from fixtures_stage import RealGrid, real_grid

from gogrid_desktop.core.status import AgentState, AgentStatus

pytestmark = [pytest.mark.model, pytest.mark.skipif(sys.platform != "linux", reason="affinity as Linux has it")]


@pytest.fixture(scope="module")
def grid() -> Iterator[RealGrid]:
    with real_grid("role", "server", "sharing.profile", "balanced") as grid:
        yield grid


def cpus_of(status: AgentStatus) -> set[int]:
    """Of the worker, once it has a model."""
    pid = status.worker_pid
    if pid is None or status.worker not in ("ready", "idle"):
        return set()
    try:
        return os.sched_getaffinity(pid)
    except ProcessLookupError:
        return set()


def test_other_cpus_are_taken_up_by_a_new_worker_at_once(grid: RealGrid) -> None:
    before, cpu = grid.worker_pid(), max(os.sched_getaffinity(0))
    grid.stage.gogrid("settings", "set", "worker.cpus", str(cpu))
    status = grid.stage.until("it runs there", lambda now: cpus_of(now) == {cpu})
    assert status.worker_pid != before
    grid.stage.gogrid("settings", "set", "worker.cpus", "")
    grid.stage.until("it runs everywhere", lambda now: cpus_of(now) == os.sched_getaffinity(0))
    assert status.totals.worker_restarts == 0, "it was asked to go"


def test_cpus_that_are_not_there_are_the_persons_to_mend(grid: RealGrid) -> None:
    grid.stage.gogrid("settings", "set", "worker.cpus", "4000")
    status = grid.stage.until("it says so", lambda now: now.state is AgentState.NEEDS_YOU)
    assert "worker.cpus" in status.problem
    grid.stage.gogrid("settings", "set", "worker.cpus", "")
    grid.stage.until("it is mended", lambda now: now.worker in ("ready", "idle") and not now.problem)


def test_the_status_shows_profile_limits_throttle_statistics_and_the_workers_state(grid: RealGrid) -> None:
    grid.submitter.chat("Say yes.", 4, lambda text: None, 1, lambda request: None)
    grid.stage.until("it has been counted", lambda now: now.throttle.total == 1 and now.worker == "idle")
    said = grid.stage.gogrid("status")
    assert "profile   balanced: 80% of the time" in said
    assert "nice 10, disk idle, 50 ms between requests" in said
    assert "requests  1; 0 waited (0.0%)" in said
    assert f"idle (pid {grid.worker_pid()})" in said
    assert "nice 10, disk idle" in said
