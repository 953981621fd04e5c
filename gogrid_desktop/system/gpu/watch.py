"""`python -m gogrid_desktop.system.gpu.watch`: asks the GPUs' drivers, in a process that may hang and be killed.

Questions (`frames.Ask`) come on standard input, readings leave on standard output. It ends with its input, after its
argument (seconds) or `REST_S` in which nothing was asked, and after a reading without any GPU: the next process loads a
driver's library anew, which a new driver needs. It imports next to nothing, to stay small.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time

from gogrid_desktop.system.gpu import GpuProbe
from gogrid_desktop.system.gpu.frames import Ask, read_ask, write_reading

#: An open driver keeps a laptop's GPU awake.
REST_S = 30.0


def run() -> None:
    from gogrid_desktop.system import host

    rest_s = float(sys.argv[1]) if len(sys.argv) > 1 else REST_S
    asks: queue.SimpleQueue[Ask] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asks,), name="questions", daemon=True).start()
    try:
        first = asks.get(timeout=rest_s)
    except queue.Empty:
        return
    serve(host.gpu_source(first.known), first, asks, rest_s)


def serve(probe: GpuProbe, first: Ask, asks: queue.SimpleQueue[Ask], rest_s: float) -> None:
    """Answer until there is no GPU, or nothing to do for `rest_s`."""
    every_s, now, due = first.every_s, first.now, time.monotonic()
    while True:
        if now or (every_s is not None and time.monotonic() >= due):
            reading = probe.read()
            sys.stdout.buffer.write(write_reading(reading))
            sys.stdout.buffer.flush()
            if not reading.gpus:
                return
            due = time.monotonic() + (every_s or 0.0)
        try:
            ask = asks.get(timeout=rest_s if every_s is None else max(0.0, due - time.monotonic()))
        except queue.Empty:
            if every_s is None:
                return
            now = False
        else:
            if ask.every_s != every_s:
                every_s, due = ask.every_s, time.monotonic()
            now = ask.now


def _listen(asks: queue.SimpleQueue[Ask]) -> None:
    try:
        for line in sys.stdin.buffer:
            asks.put(read_ask(line))
    finally:
        os._exit(0)  # the parent has gone: also in the middle of a question that the driver never answers


if __name__ == "__main__":
    run()
