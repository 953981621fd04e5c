"""From the pause that the worker is told to no step running, in the middle of eight streams and of a long prompt."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from bench.claim import Claim
from bench.driver import WorkerProcess
from gogrid_desktop.worker import messages as w

STREAMS = 8
PAUSES = 100
PROMISED_MS = 100.0


def claims() -> Iterator[Claim]:
    times_ms: list[float] = []
    with WorkerProcess(STREAMS) as worker:
        for number in range(STREAMS):
            worker.start(number, 900)
        for seq in range(1, PAUSES + 1):
            while not isinstance(worker.hear(), w.Emitted):
                pass
            began = time.perf_counter()
            worker.tell(w.Pause(seq=seq))
            while not (isinstance(event := worker.hear(), w.Applied) and event.seq == seq):
                pass
            times_ms.append((time.perf_counter() - began) * 1000)
            worker.tell(w.Resume(seq=seq))
    times_ms.sort()
    p99 = times_ms[int(len(times_ms) * 0.99) - 1]
    yield Claim("pause to no step, median", round(statistics.median(times_ms), 1), "ms", "none stated", True)
    yield Claim("pause to no step, p99", round(p99, 1), "ms", f"<= {PROMISED_MS:g} ms (row A14)", p99 <= PROMISED_MS)
