"""A real grid on this machine for tests: coordinator and agent as processes, the starter model, the official client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from gogrid_desktop.cli.stage import Stage, open_stage
from gogrid_desktop.cli.submitter import Reply, Submitter, account_for
from gogrid_desktop.ipc import messages as m
from gogrid_desktop.worker.journal import read_journal

EIGHT = 8
MAX_TOKENS = 96


@dataclass
class RealGrid:
    """`received`: text of each numbered stream so far; `running` is released when a stream's first text is there."""

    stage: Stage
    key: str
    submitter: Submitter
    received: dict[int, str] = field(default_factory=dict)
    requests: dict[int, str] = field(default_factory=dict)
    running: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def ask(self, number: int, max_tokens: int = MAX_TOKENS) -> Reply:
        """One streamed answer."""
        self.received[number] = ""

        def on_text(text: str) -> None:
            if not self.received[number]:
                self.running.release()
            self.received[number] += text

        def on_request(request: str) -> None:
            self.requests[number] = request

        prompt = f"Write a long story about a ship with {number + 2} sails."
        return self.submitter.chat(prompt, max_tokens, on_text, number, on_request)

    def ask_eight(self, pool: ThreadPoolExecutor) -> list[Future[Reply]]:
        """Eight streams, returned when each of them has begun."""
        futures = [pool.submit(self.ask, number) for number in range(EIGHT)]
        for _ in range(EIGHT):
            assert self.running.acquire(timeout=120), "a stream did not begin"
        return futures

    def worker_pid(self) -> int:
        pid = self.stage.tell(m.GetStatus(id=1)).worker_pid
        assert pid is not None
        return pid

    def check(self, replies: list[Reply]) -> None:
        """Every answer is whole, and workers, ledger and client agree on every position."""
        states = [self.submitter.state(reply.request) for reply in replies]
        choices = [choice for state in states for choice in state.choices]
        assert [choice.state for choice in choices] == ["completed"] * len(replies)
        books = account_for(states, replies, read_journal(self.stage.journal))
        assert (books.tokens_lost, books.findings) == (0, ())
        assert books.tokens_checked == sum(choice.have.tokens for choice in choices) > 0

    def resumed(self) -> set[str]:
        """Jobs that went on from tokens in another worker or under another lease."""
        return {e.job for e in read_journal(self.stage.journal) if e.count is None and e.first > 0}


@contextmanager
def real_grid(*settings: str) -> Iterator[RealGrid]:
    """A grid with one node, whatever the power; `settings` are NAME VALUE pairs for it."""
    with open_stage() as stage:
        stage.start_coordinator()
        invite = json.loads(stage.gogrid("coordinator", "invite", "--json"))["invite"]
        key = json.loads(stage.gogrid("coordinator", "key", "--json"))["key"]
        stage.gogrid("settings", "set", "power.pause_on_battery", "false", "sharing.take_turns", "false", *settings)
        stage.gogrid("join", stage.url, invite, "--allow-plaintext-token")
        stage.start_agent()
        grid = RealGrid(stage, key, Submitter(stage.url, key))
        try:
            yield grid
        finally:
            grid.submitter.close()
