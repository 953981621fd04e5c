"""Nodes and submitters that speak the real protocol and answer at once: a load for the coordinator alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from bench.wire import Wire

MODEL = "a" * 64
#: Ten a second are allowed.
REPORT_EVERY_S = 0.1
TEXT = "A short answer, as a model gives one."
_TOKENS = (101, 102, 103, 104, 105, 106, 107, 108)


class SimulatedNode:
    """Takes as many jobs as it has slots, gives each answer in two chunks, and asks again."""

    def __init__(self, reach: Callable[[], Wire], start: str, slots: int) -> None:
        self._leases, self._reports = reach(), reach()
        self._start, self._slots = start, slots
        self._polls = count(1)
        self._next_s = 0.0
        self.finished = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            poll = f"{self._start}.{next(self._polls)}"
            call = {"poll": poll, "slots": self._slots, "models_resident": [MODEL], "context": 4096}
            status, answer = await self._leases.post("/grid/v1/leases?wait=25", call)
            if status != 200:
                raise RuntimeError(f"a lease call was answered with {status}: {answer}")
            if answer["leases"]:
                await self._work(poll, answer["leases"])

    async def _work(self, poll: str, leases: list[Mapping[str, Any]]) -> None:
        held = [lease["id"] for lease in leases]
        half = len(TEXT) // 2
        for before, text, last in ((0, TEXT[:half], False), (4, TEXT[half:], True)):
            parts = []
            for lease in leases:
                chunk = {"tokens_before": before, "bytes_before": before and half, "token_ids": _TOKENS[before:][:4]}
                part = {"lease": lease["id"], "fence": lease["fence"], "chunks": [{**chunk, "text": text}]}
                if last:
                    part["end"] = {"type": "complete", "tokens": 8, "bytes": len(TEXT), "finish_reason": "stop"}
                else:
                    part["prompt"] = {"tokens": 9, "hash": "h"}
                parts.append(part)
            report = {"poll": "", "held": held, "leases": parts}
            await asyncio.sleep(max(0.0, self._next_s - time.monotonic()))
            self._next_s = time.monotonic() + REPORT_EVERY_S
            status, answer = await self._reports.post("/grid/v1/reports", report)
            expected = "done" if last else "renewed"
            if status != 200 or any(one["verdict"] != expected for one in answer["verdicts"]):
                raise RuntimeError(f"a report was answered with {status}: {answer}")
        self.finished += len(leases)


async def submitter(wire: Wire, until_s: float, took_s: list[float]) -> None:
    """Ask, read the whole answer, and ask again."""
    body = {"model": "bench", "messages": [{"role": "user", "content": "A question of a usual length, say."}]}
    while (began_s := time.monotonic()) < until_s:
        status, answer = await wire.post("/v1/chat/completions", body)
        if status != 200 or answer["choices"][0]["message"]["content"] != TEXT:
            raise RuntimeError(f"a request was answered with {status}: {answer}")
        took_s.append(time.monotonic() - began_s)


async def cycles(
    reach: Callable[[str], Wire], nodes: list[str], key: str, slots: int, at_once: int, warm_s: float, run_s: float
) -> list[float]:
    """How long each request took that was answered within the window, seconds. `nodes`: their tokens."""
    workers = [SimulatedNode(lambda token=token: reach(token), f"s{index}", slots) for index, token in enumerate(nodes)]
    serving = [asyncio.create_task(node.run()) for node in workers]
    await asyncio.sleep(1.0)
    warm_until = time.monotonic() + warm_s
    await asyncio.gather(*(submitter(reach(key), warm_until, []) for _ in range(at_once)))
    took_s: list[float] = []
    until = time.monotonic() + run_s
    await asyncio.gather(*(submitter(reach(key), until, took_s) for _ in range(at_once)))
    for task in serving:
        if task.done():
            task.result()
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
    return took_s
