"""Sixteen chats that arrive at once and share a system prompt of 400 tokens, against llama.cpp's own server.

Both keep what they keep by themselves: the server its prompt caches as they come, the worker its prefixes. Each round
has a system prompt of its own, so that nobody knows it before the first chat.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from statistics import median

from bench import sides
from bench.claim import Claim, note
from bench.driver import WorkerProcess
from bench.peer import LlamaServer
from bench.prompts import stories
from bench.sides import Request

CHATS = 16
SLOTS = 8
TOKENS_OUT = 48
ROUNDS = 5


def claims() -> Iterator[Claim]:
    system_prompts, questions = stories(400), stories(24)
    rates: dict[str, list[float]] = {}
    with WorkerProcess(SLOTS) as worker, LlamaServer(SLOTS, cache=True) as server:
        note(f"peer: {' '.join(server.command)}")
        for round_ in range(ROUNDS + 1):  # the first warms up
            system = next(system_prompts)
            requests = [Request(question, TOKENS_OUT, system) for question in islice(questions, CHATS)]
            for side in (worker, server) if round_ % 2 else (server, worker):
                rate, answers = sides.tokens_per_s(side, requests)
                first_s = median(answer.first_token_s for answer in answers)
                note(f"round {round_}, {side.name}: {rate:.1f} tokens/s, first token after {first_s:.2f} s (median)")
                if round_:
                    rates.setdefault(side.name, []).append(rate)
    value, peer_value = median(rates[worker.name]), median(rates[server.name])
    yield Claim(
        bench=f"shared prefix, {CHATS} chats with a system prompt of 400 tokens",
        value=round(value, 1),
        unit="tokens/s",
        peer=f"{server.name}, its caches on",
        peer_value=round(peer_value, 1),
        bound="ratio >= 1.0",
        holds=value >= peer_value,
    )
