"""What agent and worker cost beyond bare llama.cpp: memory without the model, and processor time with nothing to do.

Bare llama.cpp is its own server with the same model, context and slots. Memory is the proportional set size, which
counts a page that several processes share once. The idle node is a real one: joined to a coordinator, asking for
leases, its model loaded.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import psutil

from bench.claim import Claim, note
from bench.driver import WorkerProcess
from bench.peer import LlamaServer
from bench.prompts import stories
from bench.sides import Request, Side, pump_until
from gogrid_desktop.cli.stage import open_stage

SLOTS, CONTEXT = 4, 2048
SETTLE_S, IDLE_S = 5.0, 30.0
MOST_MEMORY_MB, MOST_CPU = 100.0, 1.0


def claims() -> Iterator[Claim]:
    with WorkerProcess(SLOTS, CONTEXT) as worker:
        worker_mb = _memory_after_use_mb(worker, worker.pid)
    with LlamaServer(SLOTS, CONTEXT) as server:
        server_mb = _memory_after_use_mb(server, server.pid)
    agent_mb, cpu = _idle_node()
    note(f"agent {agent_mb:.1f} MB, worker {worker_mb:.1f} MB, bare llama.cpp {server_mb:.1f} MB")
    extra_mb = agent_mb + worker_mb - server_mb
    yield Claim(
        bench="overhead, memory of agent and worker beyond bare llama.cpp",
        value=round(extra_mb, 1),
        unit="MB",
        bound=f"< {MOST_MEMORY_MB:g} MB",
        holds=extra_mb < MOST_MEMORY_MB,
    )
    yield Claim(
        bench="overhead, agent and worker with nothing to do",
        value=round(cpu, 2),
        unit="% of one core",
        bound=f"< {MOST_CPU:g} %",
        holds=cpu < MOST_CPU,
    )


def _memory_after_use_mb(side: Side, pid: int) -> float:
    prompts = stories(512)
    answers = [side.begin(Request(next(prompts), 16)) for _ in range(SLOTS)]
    pump_until(side, lambda: all(answer.ended_s is not None for answer in answers))
    return _memory_mb(pid)


def _memory_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_full_info().pss) / 1e6


def _idle_node() -> tuple[float, float]:
    """Memory of the agent in MB; processor time of it and its children in percent of one core."""
    with open_stage() as stage:
        stage.start_coordinator()
        invite = json.loads(stage.gogrid("coordinator", "invite", "--json"))["invite"]
        stage.gogrid("join", stage.url, invite, "--allow-plaintext-token")
        stage.start_agent()
        agent = psutil.Process(stage.process("agent").pid)
        time.sleep(SETTLE_S)
        began_s, used_s = time.perf_counter(), _used_s(agent)
        time.sleep(IDLE_S)
        cpu = 100 * (_used_s(agent) - used_s) / (time.perf_counter() - began_s)
        return _memory_mb(agent.pid), cpu


def _used_s(agent: psutil.Process) -> float:
    times = [process.cpu_times() for process in (agent, *agent.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))
