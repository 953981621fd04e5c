"""Real processes, a real model, the official client, and `kill -9`: streams finish, every position is accounted for."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import openai
import pytest

from gogrid_desktop.cli.stage import Stage, open_stage
from gogrid_desktop.cli.submitter import Reply, Submitter, account_for
from gogrid_desktop.ipc import messages as m
from gogrid_desktop.worker.journal import read_journal

pytestmark = pytest.mark.model

EIGHT = 8
MAX_TOKENS = 96


@dataclass
class Grid:
    """A coordinator, an agent that shares like a server, and a submitter's key."""

    stage: Stage
    key: str
    submitter: Submitter
    received: dict[int, str] = field(default_factory=dict)
    requests: dict[int, str] = field(default_factory=dict)
    running: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def ask(self, number: int) -> Reply:
        """One streamed answer; `running` is released when its first text is there."""
        self.received[number] = ""

        def on_text(text: str) -> None:
            if not self.received[number]:
                self.running.release()
            self.received[number] += text

        def on_request(request: str) -> None:
            self.requests[number] = request

        prompt = f"Write a long story about a ship with {number + 2} sails."
        return self.submitter.chat(prompt, MAX_TOKENS, on_text, number, on_request)

    def ask_eight(self, pool: ThreadPoolExecutor) -> list[Future[Reply]]:
        """Eight streams, returned when each of them has begun."""
        futures = [pool.submit(self.ask, number) for number in range(EIGHT)]
        for _ in range(EIGHT):
            assert self.running.acquire(timeout=120), "a stream did not begin"
        return futures

    def worker_pid(self) -> int:
        pid = self.stage.tell(m.GetStatus(id=1)).worker_pid
        assert pid is not None
        return pid

    def check(self, replies: list[Reply]) -> None:
        """Every answer is whole, and workers, ledger and client agree on every position."""
        states = [self.submitter.state(reply.request) for reply in replies]
        choices = [choice for state in states for choice in state.choices]
        assert [choice.state for choice in choices] == ["completed"] * len(replies)
        books = account_for(states, replies, read_journal(self.stage.journal))
        assert (books.tokens_lost, books.findings) == (0, ())
        assert books.tokens_checked == sum(choice.have.tokens for choice in choices) > 0

    def resumed(self) -> set[str]:
        return {e.job for e in read_journal(self.stage.journal) if e.count is None and e.first > 0}


@pytest.fixture
def grid() -> Iterator[Grid]:
    with open_stage() as stage:
        stage.start_coordinator()
        invite = json.loads(stage.gogrid("coordinator", "invite", "--json"))["invite"]
        key = json.loads(stage.gogrid("coordinator", "key", "--json"))["key"]
        stage.gogrid("settings", "set", "role", "server")
        stage.gogrid("join", stage.url, invite, "--allow-plaintext-token")
        stage.start_agent()
        grid = Grid(stage, key, Submitter(stage.url, key))
        try:
            yield grid
        finally:
            grid.submitter.close()


def test_eight_streams_survive_the_death_of_the_worker(grid: Grid) -> None:
    with ThreadPoolExecutor(EIGHT) as pool:
        futures = grid.ask_eight(pool)
        os.kill(grid.worker_pid(), signal.SIGKILL)
        replies = [future.result(timeout=240) for future in futures]
    grid.check(replies)
    assert grid.resumed()
    assert grid.stage.tell(m.GetStatus(id=1)).totals.worker_restarts == 1


def test_eight_streams_survive_the_death_of_the_agent(grid: Grid) -> None:
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


def test_streams_broken_by_the_death_of_the_coordinator_resume_with_the_exact_rest(grid: Grid) -> None:
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


def test_pausing_stops_the_stream_at_once_and_resuming_finishes_it(grid: Grid) -> None:
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


def rest_of(grid: Grid, request: str, received: str) -> str:
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
