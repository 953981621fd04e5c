"""The compute share, as the system counts it: processor time of the worker's process while four streams keep it busy.

`value` is processor time over threads x wall time. Without a limit this is a little under 100 %, since tokens are drawn
and written by one thread; a share is a part of that, so the ratio to the run without a limit is what must be met. The
owner looks at the value itself: it may not be above the share by more than the same three points.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from statistics import median

import psutil

from bench.claim import Claim, note
from bench.driver import EVERYTHING, WorkerProcess
from bench.prompts import stories
from bench.sides import Request
from gogrid_desktop.worker.limits import usable_cores

SHARES = (0.60, 0.80, 0.95)
STREAMS = 4
WINDOW_S, SETTLE_S = 3.0, 0.5
ROUNDS = 5
WITHIN = 0.03


def claims() -> Iterator[Claim]:
    seen: dict[float, list[float]] = {share: [] for share in (1.0, *SHARES)}
    with WorkerProcess(STREAMS) as worker:
        busy = _Busy(worker)
        for _ in range(ROUNDS):
            for share, used in seen.items():
                worker.limit(replace(EVERYTHING, compute_share=share))
                busy.run(SETTLE_S)
                used.append(busy.run(WINDOW_S))
    whole = median(seen[1.0])
    for share in SHARES:
        used_share = median(seen[share])
        note(f"share {share:.2f}: {' '.join(f'{100 * each:.1f}' for each in seen[share])} %")
        yield Claim(
            bench=f"duty cycle, share {100 * share:g} %",
            value=round(100 * used_share, 1),
            unit="% of the processor",
            peer="the same worker without a limit",
            peer_value=round(100 * whole, 1),
            bound=f"ratio {share:.2f} +- {WITHIN}, value <= {100 * (share + WITHIN):g} %",
            holds=abs(used_share / whole - share) <= WITHIN and used_share <= share + WITHIN,
        )


class _Busy:
    """Keeps the worker's streams filled."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._process = psutil.Process(worker.pid)
        self._prompts = cycle(stories(45))
        self._answers = [worker.begin(self._request()) for _ in range(STREAMS)]

    def run(self, seconds: float) -> float:
        """Share of threads x wall time that the process used meanwhile."""
        began_s, used_s = time.perf_counter(), self._used_s()
        while (left_s := began_s + seconds - time.perf_counter()) > 0:
            self._worker.pump(left_s)
            for index, answer in enumerate(self._answers):
                if answer.ended_s is not None:
                    self._answers[index] = self._worker.begin(self._request())
        return (self._used_s() - used_s) / (time.perf_counter() - began_s) / usable_cores()

    def _request(self) -> Request:
        return Request(next(self._prompts), 800)

    def _used_s(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)
