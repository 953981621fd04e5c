"""Two hundred requests while workers crash, hang, stutter, talk nonsense and run out of memory: each has an end."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import openai
import psutil
import pytest
from fixtures_stage import RealGrid, real_grid

from gogrid_desktop.ipc import messages as m
from gogrid_desktop.worker.chaos import ENVIRONMENT, parse

pytestmark = pytest.mark.model

REQUESTS, AT_ONCE = 200, 8
#: Of a hundred chances, thirty are faults: mostly such as a step survives, for a worker that dies costs a start.
CHAOS = "crash=0.012,hang=0.002,slow=0.27,garbage=0.003,alloc=0.013,seed=11"
SEED = 20
WORDS = ("moon", "bread", "river", "clock", "paper", "glass", "bee", "ship", "stone", "lamp")


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> Iterator[RealGrid]:
    monkeypatch.setenv(ENVIRONMENT, CHAOS)
    with real_grid("role", "server") as grid:
        yield grid


def ask(grid: RealGrid, number: int) -> str:
    """How one request ended: "stop", "length", or the code of its own error."""
    chance = random.Random(f"{SEED}/{number}")
    words = " ".join(chance.choices(WORDS, k=chance.randint(1, 30)))
    try:
        reply = grid.submitter.chat(f"Say something short of {words}.", chance.randint(1, 8), lambda _: None, number)
    except openai.APIError as error:
        assert error.code, f"request {number} failed without a code: {error}"
        return str(error.code)
    return reply.finish_reason


def agent_bytes(grid: RealGrid) -> int:
    agent = psutil.Process(grid.stage.process("agent").pid)
    return int(agent.memory_info().rss)


def test_every_request_ends_well_or_with_an_error_of_its_own_and_nothing_is_left_behind(grid: RealGrid) -> None:
    rates = parse(CHAOS)
    assert rates.crash + rates.hang + rates.slow + rates.garbage + rates.alloc == pytest.approx(0.30)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = Counter(pool.map(lambda number: ask(grid, number), range(AT_ONCE)))  # everything is loaded and warm
        before = agent_bytes(grid)
        ends += Counter(pool.map(lambda number: ask(grid, number), range(AT_ONCE, REQUESTS)))
    assert sum(ends.values()) == REQUESTS
    assert ends.keys() <= {"stop", "length", "job_failed", "attempts_exhausted", "dead_letter"}, ends
    assert ends["stop"] + ends["length"] > REQUESTS * 0.9, ends
    status = grid.stage.until("all leases are settled", lambda now: now.jobs_running == 0)
    assert status.totals.worker_restarts > 0, "no fault was felt"
    assert agent_bytes(grid) <= before * 1.05
    workers = psutil.Process(grid.stage.process("agent").pid).children(recursive=True)
    assert len(workers) <= 1
    grid.stage.tell(m.Stop(id=1))
    assert grid.stage.process("agent").wait(20) == 0
    deadline = time.monotonic() + 5
    while any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived its agent"
        time.sleep(0.05)
    print(json.dumps({"ends": dict(ends), "worker_restarts": status.totals.worker_restarts}))
