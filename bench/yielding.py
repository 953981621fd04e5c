"""How fast the computer is given back, as seen by whoever asked for it.

From the pause that the worker is told, at a random moment of decoding and of reading a prompt, to its word that no step
runs; and from the order to unload, in the middle of a step, until the system has the memory of a model of two gigabytes
(not mapped from its file) back.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

import psutil

from bench.claim import Claim, note
from bench.driver import WorkerProcess
from bench.prompts import stories
from bench.random_model import write_random_model
from bench.sides import Answer, Request, pump_until
from gogrid_desktop.worker import messages as w

STREAMS = 8
PAUSES = 100
UNLOADS = 20
PROMPT_TOKENS, CONTEXT = 6000, 8192
MOST_MS, MOST_UNLOAD_S = 50.0, 1.0
#: What may stay of the model's memory: the heap keeps some of the small pieces.
LEFT = 0.02


def claims() -> Iterator[Claim]:
    draw = random.Random(4)
    yield from _pause_claims("decode", _pauses_while_decoding(draw))
    yield from _pause_claims("prefill", _pauses_while_reading(draw))
    with tempfile.TemporaryDirectory(prefix="gogrid-bench-") as folder:
        path = Path(folder) / "random.gguf"
        size = write_random_model(path)
        took_s = sorted(_unloads(draw, path, size))
    note(f"unload of {size / 1e9:.2f} GB: {' '.join(f'{each:.2f}' for each in took_s)} s")
    p95 = _rank(took_s, 0.95)
    yield Claim(
        bench=f"yield, unload to memory returned, {size / 1e9:.1f} GB, p95 of {UNLOADS}",
        value=round(p95, 3),
        unit="s",
        bound=f"<= {MOST_UNLOAD_S:g} s",
        holds=p95 <= MOST_UNLOAD_S,
    )


def _pause_claims(what: str, times_ms: list[float]) -> Iterator[Claim]:
    times_ms.sort()
    middle, p99 = median(times_ms), _rank(times_ms, 0.99)
    name = f"yield, pause to no step in {what}"
    yield Claim(f"{name}, p50 of {PAUSES}", round(middle, 1), "ms", f"<= {MOST_MS:g} ms", middle <= MOST_MS)
    yield Claim(f"{name}, p99 of {PAUSES}", round(p99, 1), "ms", f"<= {MOST_MS:g} ms", p99 <= MOST_MS)


def _pauses_while_decoding(draw: random.Random) -> list[float]:
    times_ms: list[float] = []
    prompts = stories(45)
    with WorkerProcess(STREAMS) as worker:
        answers = [worker.begin(Request(next(prompts), 900)) for _ in range(STREAMS)]
        pump_until(worker, lambda: all(answer.arrivals for answer in answers))
        while len(times_ms) < PAUSES:
            _pump_for(worker, draw.uniform(0.0, 0.1))
            times_ms.append(worker.pause())
            worker.resume()
            answers = [a if a.ended_s is None else worker.begin(Request(next(prompts), 900)) for a in answers]
    return times_ms


def _pauses_while_reading(draw: random.Random) -> list[float]:
    times_ms: list[float] = []
    prompts = stories(PROMPT_TOKENS)
    answer: Answer | None = None
    with WorkerProcess(1, CONTEXT) as worker:
        while len(times_ms) < PAUSES:
            if answer is None:
                answer = worker.begin(Request(next(prompts), 4))
                pump_until(worker, partial(_read, answer))
            _pump_for(worker, draw.uniform(0.0, 0.2))
            took_ms = worker.pause()
            reading = not answer.arrivals
            worker.resume()
            if reading:
                times_ms.append(took_ms)
            else:
                pump_until(worker, partial(_ended, answer))
                answer = None
    return times_ms


def _unloads(draw: random.Random, path: Path, size: int) -> Iterator[float]:
    """Seconds from the order until the process holds at most what it held before, and `LEFT` of the model."""
    with WorkerProcess(1, path="") as worker:
        process = psutil.Process(worker.pid)
        before = process.memory_info().rss
        for _ in range(UNLOADS):
            worker.load(1, 1024, str(path), mmap=False)
            held = process.memory_info().rss - before
            if held < 0.9 * size:
                raise ValueError(f"only {held:,} bytes of {size:,} are in memory after loading")
            worker.begin(Request("A" * 200, 500))
            _pump_for(worker, draw.uniform(0.2, 0.8))
            told_s = time.perf_counter()
            worker.tell(w.Unload())
            while process.memory_info().rss > before + LEFT * size:
                time.sleep(0.001)
            yield time.perf_counter() - told_s
            worker.wait_for("unloaded")
            worker.forget()


def _read(answer: Answer) -> bool:
    return answer.prompt_tokens > 0


def _ended(answer: Answer) -> bool:
    return answer.ended_s is not None


def _pump_for(worker: WorkerProcess, seconds: float) -> None:
    end_s = time.perf_counter() + seconds
    while (left_s := end_s - time.perf_counter()) > 0:
        worker.pump(left_s)


def _rank(ordered: list[float], part: float) -> float:
    """The value that this part of them is not above (nearest rank)."""
    return ordered[max(0, -int(-len(ordered) * part // 1) - 1)]
