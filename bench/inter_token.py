"""Between two tokens of four running streams, while a prompt of 1,000 tokens arrives, and while none does.

Against llama.cpp's own server. A worker could win this by never reading the prompt; so the time to the prompt's first
token is a claim too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from statistics import median

from bench.claim import Claim, note
from bench.driver import WorkerProcess
from bench.peer import LlamaServer
from bench.prompts import stories
from bench.sides import Answer, Request, Side, pump_until

STREAMS = 4
PROMPT_TOKENS = 1000
WARM_TOKENS, QUIET_TOKENS, MOST_TOKENS = 16, 80, 1200
ROUNDS = 5
MOST_STRETCH, MOST_FIRST_TOKEN = 2.0, 2.5


def claims() -> Iterator[Claim]:
    shorts, longs = stories(45), stories(PROMPT_TOKENS)
    seen: dict[str, _Seen] = {}
    with WorkerProcess(STREAMS + 1, 2048) as worker, LlamaServer(STREAMS + 1, 2048) as server:
        for round_ in range(ROUNDS):
            prompts, long = list(islice(shorts, STREAMS)), next(longs)
            for side in (worker, server) if round_ % 2 else (server, worker):
                seen.setdefault(side.name, _Seen()).arrive(side, prompts, long)
        ours, peer = seen[worker.name], seen[server.name]
    for name, side_seen in seen.items():
        note(f"{name}: {side_seen.summary()}")
    yield Claim(
        bench=f"inter-token, p99 of {STREAMS} streams while a prompt of {PROMPT_TOKENS} tokens arrives",
        value=round(ours.stretch, 2),
        unit="times p99 without it",
        peer=server.name,
        peer_value=round(peer.stretch, 2),
        bound=f"<= {MOST_STRETCH}",
        holds=ours.stretch <= MOST_STRETCH,
    )
    first, peer_first = median(ours.first_token_s), median(peer.first_token_s)
    yield Claim(
        bench=f"inter-token, first token of the prompt of {PROMPT_TOKENS} tokens",
        value=round(first, 2),
        unit="s",
        peer=server.name,
        peer_value=round(peer_first, 2),
        bound=f"ratio <= {MOST_FIRST_TOKEN}",
        holds=first <= MOST_FIRST_TOKEN * peer_first,
    )


class _Seen:
    """Gaps in seconds of one side, with and without the arriving prompt, over all rounds."""

    def __init__(self) -> None:
        self.quiet: list[float] = []
        self.disturbed: list[float] = []
        self.first_token_s: list[float] = []

    @property
    def stretch(self) -> float:
        return p99(self.disturbed) / p99(self.quiet)

    def summary(self) -> str:
        return (
            f"p99 {p99(self.quiet) * 1000:.0f} ms of {len(self.quiet)} without, {p99(self.disturbed) * 1000:.0f} ms of "
            f"{len(self.disturbed)} with; median {median(self.quiet) * 1000:.0f} and "
            f"{median(self.disturbed) * 1000:.0f} ms; first token after {median(self.first_token_s):.2f} s"
        )

    def arrive(self, side: Side, prompts: Sequence[str], long: str) -> None:
        running = [side.begin(Request(prompt, MOST_TOKENS)) for prompt in prompts]
        pump_until(side, lambda: all(len(answer.arrivals) >= WARM_TOKENS for answer in running))
        warm_s = max(answer.arrivals[-1][0] for answer in running)
        pump_until(side, lambda: all(len(answer.arrivals) >= WARM_TOKENS + QUIET_TOKENS for answer in running))
        newcomer = side.begin(Request(long, 4))
        pump_until(side, lambda: bool(newcomer.arrivals))
        sent_s, read_s = newcomer.sent_s, newcomer.arrivals[0][0]
        # The gap that the first token ends belongs to the prompt still; it is known once every stream has moved on.
        pump_until(side, lambda: all(a.ended_s is not None or a.arrivals[-1][0] > read_s for a in running))
        self.quiet += [gap for start, gap in _gaps(running) if warm_s <= start and start + gap < sent_s]
        self.disturbed += [gap for start, gap in _gaps(running) if start + gap >= sent_s and start <= read_s]
        self.first_token_s.append(newcomer.first_token_s)
        pump_until(side, lambda: newcomer.ended_s is not None)
        for answer in running:
            if answer.ended_s is None:
                side.cancel(answer)


def _gaps(answers: Sequence[Answer]) -> Iterator[tuple[float, float]]:
    """(start, length) of the time between two arrivals of the same stream."""
    for answer in answers:
        for (start_s, _), (end_s, _) in pairwise(answer.arrivals):
            yield start_s, end_s - start_s


def p99(values: Sequence[float]) -> float:
    """The value that 99 % are not above (nearest rank)."""
    return sorted(values)[-(-len(values) * 99 // 100) - 1]
