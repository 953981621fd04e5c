"""Tokens a second at 1, 2, 4 and 8 streams, against llama.cpp's own server on the same requests.

Both are built from the same source with the same flags, hold the same model with the same threads and context per slot,
and get the same prompts in the same run, new ones in each run, all caches off. The server is asked over HTTP and the
worker through its pipe; both stream each token. Neither may ignore the end of an answer, so tokens are counted as they
were generated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from statistics import median

from bench import sides
from bench.claim import Claim, note
from bench.driver import WorkerProcess
from bench.peer import LlamaServer, both_system_infos
from bench.prompts import stories
from bench.sides import Request, Side

STREAMS = (1, 2, 4, 8)
#: Tokens in, tokens out.
SHAPES = ((45, 96), (512, 32))
ROUNDS = 9
LEAST_MEAN, LEAST_POINT = 1.0, 0.95
#: Of the tokens asked for: a side that stops before has done other work than the one beside it.
LEAST_GENERATED = 0.8


def claims() -> Iterator[Claim]:
    yield _same_build()
    ratios: list[float] = []
    with WorkerProcess(max(STREAMS)) as worker, LlamaServer(max(STREAMS)) as server:
        note(f"peer: {' '.join(server.command)}")
        for tokens_in, tokens_out in SHAPES:
            prompts = stories(tokens_in)
            for streams in STREAMS:
                value, peer_value = _point(worker, server, prompts, streams, tokens_out)
                ratios.append(value / peer_value)
                yield Claim(
                    bench=f"throughput, {streams} streams, {tokens_in} in, {tokens_out} out",
                    value=round(value, 1),
                    unit="tokens/s",
                    peer=server.name,
                    peer_value=round(peer_value, 1),
                    bound=f"ratio >= {LEAST_POINT}",
                    holds=ratios[-1] >= LEAST_POINT,
                )
    mean = math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios))
    yield Claim(
        bench="throughput, geometric mean of the ratios",
        value=round(mean, 3),
        unit="ours / peer's",
        peer="llama-server",
        peer_value=1.0,
        bound=f">= {LEAST_MEAN}",
        holds=mean >= LEAST_MEAN,
    )


def _point(ours: Side, peer: Side, prompts: Iterator[str], streams: int, tokens: int) -> tuple[float, float]:
    """Medians of both sides over the rounds; who goes first alternates. The first round warms up and does not count."""
    rates: dict[str, list[float]] = {ours.name: [], peer.name: []}
    for round_ in range(ROUNDS + 1):
        requests = [Request(prompt, tokens) for prompt in islice(prompts, streams)]
        lengths = []
        for side in (ours, peer) if round_ % 2 else (peer, ours):
            rate, answers = sides.tokens_per_s(side, requests)
            lengths.append([(answer.prompt_tokens, answer.tokens) for answer in answers])
            if round_:
                rates[side.name].append(rate)
        if [each[0] for each in lengths[0]] != [each[0] for each in lengths[1]]:
            raise ValueError(f"the sides read the same prompts as different numbers of tokens: {lengths}")
        generated = [sum(each[1] for each in lengths_of_side) for lengths_of_side in lengths]
        if min(generated) < LEAST_GENERATED * streams * tokens:
            raise ValueError(f"answers ended too early to compare: {lengths}")
    ratios = [mine / theirs for mine, theirs in zip(*rates.values(), strict=True)]
    note(f"{streams} streams, ratios of the rounds: {' '.join(f'{ratio:.3f}' for ratio in ratios)}")
    return median(rates[ours.name]), median(rates[peer.name])


def _same_build() -> Claim:
    ours, peer = both_system_infos()
    note(f"worker's llama.cpp: {ours}\npeer's llama.cpp:   {peer}")
    return Claim(
        bench="throughput, CPU features compiled in",
        value=ours.count("= 1"),
        unit="features",
        peer="llama-server",
        peer_value=peer.count("= 1"),
        bound="the same ones",
        holds=ours == peer,
    )
