"""Tokens a second of the worker with 1, 4 and 8 streams, against llama-cpp-python's own interface on the same requests.

The peer answers one request after the other, which is what it offers. Same library, same build, same threads. Each side
is measured three times in turn, and the better one counts, since the machine may be busy with something else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import llama_cpp

from bench.claim import Claim
from bench.driver import STARTER, WorkerProcess, prompt
from gogrid_desktop.worker import messages as w
from gogrid_desktop.worker.limits import usable_cores

TOKENS = 96
ROUNDS = 3
#: Streams to the least ratio that is promised.
PROMISED = {1: 0.9, 4: 1.2, 8: 1.4}


def ours(worker: WorkerProcess, streams: int, first: int) -> float:
    began = time.perf_counter()
    for number in range(first, first + streams):
        worker.start(number, TOKENS)
    tokens = ended = 0
    while ended < streams:
        event = worker.hear()
        if isinstance(event, w.Finished):
            tokens += event.tokens
            ended += 1
    return tokens / (time.perf_counter() - began)


def theirs(peer: llama_cpp.Llama, streams: int, first: int) -> float:
    began, tokens = time.perf_counter(), 0
    for number in range(first, first + streams):
        peer.reset()
        answer = peer.create_completion(prompt(number), max_tokens=TOKENS, temperature=0.0)
        tokens += answer["usage"]["completion_tokens"]
    return tokens / (time.perf_counter() - began)


def claims() -> Iterator[Claim]:
    threads = usable_cores()
    peer = llama_cpp.Llama(STARTER, n_ctx=1024, n_threads=threads, n_threads_batch=threads, verbose=False)
    with WorkerProcess(max(PROMISED)) as worker:
        number = 1
        for streams, least in PROMISED.items():
            best = best_peer = 0.0
            for _ in range(ROUNDS):
                best = max(best, ours(worker, streams, number))
                best_peer = max(best_peer, theirs(peer, streams, number))
                number += streams
            yield Claim(
                bench=f"throughput, {streams} streams",
                value=round(best, 1),
                unit="tokens/s",
                peer="llama-cpp-python create_completion",
                peer_value=round(best_peer, 1),
                bound=f"ratio >= {least}",
                holds=best >= least * best_peer,
            )
    peer.close()
