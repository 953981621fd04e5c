"""Real processes, a real model, the official client, and `kill -9`: streams finish, every position is accounted for."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from fixtures_stage import EIGHT, RealGrid, real_grid

from gogrid_desktop.cli.submitter import Reply
from gogrid_desktop.ipc import messages as m

pytestmark = pytest.mark.model


@pytest.fixture
def grid() -> Iterator[RealGrid]:
    with real_grid("role", "server") as grid:
        yield grid


def test_eight_streams_survive_the_death_of_the_worker(grid: RealGrid) -> None:
    with ThreadPoolExecutor(EIGHT) as pool:
        futures = grid.ask_eight(pool)
        os.kill(grid.worker_pid(), signal.SIGKILL)
        replies = [future.result(timeout=240) for future in futures]
    grid.check(replies)
    assert grid.resumed()
    assert grid.stage.tell(m.GetStatus(id=1)).totals.worker_restarts == 1


def test_eight_streams_survive_the_death_of_the_agent(grid: RealGrid) -> None:
    with ThreadPoolExecutor(EIGHT) as pool:
        futures = grid.ask_eight(pool)
        worker = grid.worker_pid()
        agent = grid.stage.process("agent")
        agent.kill()
        agent.wait()
        deadline = time.monotonic() + 5
        while alive(worker):
            assert time.monotonic() < deadline, "the worker outlived its agent"
            time.sleep(0.05)
        grid.stage.start_agent()
        replies = [future.result(timeout=240) for future in futures]
    grid.check(replies)
    assert grid.resumed()


def test_streams_broken_by_the_death_of_the_coordinator_resume_with_the_exact_rest(grid: RealGrid) -> None:
    port = int(grid.stage.url.rpartition(":")[2])
    with ThreadPoolExecutor(EIGHT) as pool:
        futures = grid.ask_eight(pool)
        coordinator = grid.stage.process("coordinator")
        coordinator.kill()
        coordinator.wait()
        for future in futures:
            with pytest.raises((openai.APIError, httpx.TransportError)):
                future.result(timeout=60)
    if coordinator.stdout is not None:
        coordinator.stdout.close()
    grid.stage.start_coordinator(port)
    with ThreadPoolExecutor(EIGHT) as pool:  # all at once: a request that nobody reads for 30 s is cancelled
        rests = [pool.submit(rest_of, grid, grid.requests[n], grid.received[n]) for n in range(EIGHT)]
        wholes = [grid.received[n] + rests[n].result(timeout=240) for n in range(EIGHT)]
    assert wholes == [rest_of(grid, grid.requests[n], "") for n in range(EIGHT)]
    assert any(len(whole) > len(grid.received[n]) for n, whole in enumerate(wholes))
    grid.check([Reply(grid.requests[n], whole, "") for n, whole in enumerate(wholes)])


def test_pausing_stops_the_stream_at_once_and_resuming_finishes_it(grid: RealGrid) -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(grid.ask, 0)
        assert grid.running.acquire(timeout=120)
        grid.stage.gogrid("pause")
        time.sleep(1.0)
        received = grid.received[0]
        time.sleep(2.0)
        assert grid.received[0] == received, "text came a second after the pause"
        assert not future.done()
        assert "running" not in grid.stage.gogrid("status")
        grid.stage.gogrid("resume")
        reply = future.result(timeout=120)
    grid.check([reply])
    assert len(grid.resumed()) == 1


def rest_of(grid: RealGrid, request: str, received: str) -> str:
    """What the resume call gives after `received`."""
    headers = {"Authorization": f"Bearer {grid.key}", "Last-Event-ID": str(len(received.encode()))}
    pieces: list[str] = []
    url = f"{grid.stage.url}/grid/v1/requests/{request}/stream"
    with httpx.stream("GET", url, headers=headers, timeout=240) as answer:
        assert answer.status_code == 200, answer.read()
        for line in answer.iter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                pieces += [choice["delta"].get("content") or "" for choice in json.loads(line[6:])["choices"]]
    return "".join(pieces)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
