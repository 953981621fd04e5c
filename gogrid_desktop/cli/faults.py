"""`gogrid demo --chaos`: many short requests while workers fail on purpose, and how each of them ended."""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from openai import APIError
from rich.console import Console
from rich.progress import track

from gogrid_desktop.cli.stage import Stage
from gogrid_desktop.cli.submitter import Reply, Submitter, account_for
from gogrid_desktop.worker.chaos import ENVIRONMENT, parse
from gogrid_desktop.worker.journal import read_journal

#: What happens where nothing else is asked for in the environment: of a hundred chances, about ten.
USUAL = "crash=0.01,hang=0.0005,slow=0.09,garbage=0.002,alloc=0.01,seed=7"
REQUESTS, AT_ONCE = 60, 8
TOPICS = ("the moon", "bread", "rivers", "clocks", "bees", "glass")


@dataclass(frozen=True, slots=True)
class Faults:
    """What came of it. `ends`: requests by how they ended, "stop" and "length" or the code of an error."""

    requests: int
    ends: dict[str, int]
    worker_restarts: int
    jobs_resumed: int
    tokens_checked: int
    tokens_lost: int
    wall_s: float

    @property
    def good(self) -> bool:
        """Every request has an end of its own, and no token is missing or doubled."""
        return sum(self.ends.values()) == self.requests and self.tokens_lost == 0


def rates() -> str:
    """The faults to make: the environment's, where there are any. Raises BadInput."""
    text = os.environ.get(ENVIRONMENT) or USUAL
    parse(text)
    return text


def play(console: Console, stage: Stage, submitter: Submitter) -> Faults:
    """Ask, count the ends, and hold the books side by side."""
    console.rule(f"{REQUESTS} requests while workers fail on purpose", align="left")
    began = time.monotonic()
    replies: list[Reply] = []
    ends: Counter[str] = Counter()

    def ask(number: int) -> str:
        prompt = f"Write one sentence about {TOPICS[number % len(TOPICS)]}."
        try:
            reply = submitter.chat(prompt, 12, lambda _: None, number)
        except APIError as error:
            return str(error.code or type(error).__name__)
        replies.append(reply)
        return reply.finish_reason

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends.update(track(pool.map(ask, range(REQUESTS)), "requests", REQUESTS, console=console))
    status = stage.until("all leases are settled", lambda now: now.jobs_running == 0)
    journal = read_journal(stage.journal)
    books = account_for([submitter.state(reply.request) for reply in replies], replies, journal)
    for finding in books.findings:
        console.print(f"[red]{finding}[/red]")
    return Faults(
        requests=REQUESTS,
        ends=dict(sorted(ends.items())),
        worker_restarts=status.totals.worker_restarts,
        jobs_resumed=len({entry.job for entry in journal if entry.count is None and entry.first > 0}),
        tokens_checked=books.tokens_checked,
        tokens_lost=books.tokens_lost,
        wall_s=round(time.monotonic() - began, 1),
    )
