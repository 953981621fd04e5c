"""`gogrid demo`: the whole path on this machine, with a real model and nothing staged."""

from __future__ import annotations

import dataclasses
import json as jsonlib
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from gogrid_desktop.errors import GoGridError
from gogrid_desktop.worker.chaos import ENVIRONMENT

if TYPE_CHECKING:
    from gogrid_desktop.cli.faults import Faults
    from gogrid_desktop.cli.stage import Stage
    from gogrid_desktop.cli.submitter import Reply, Submitter

TOPICS = (
    "the moon", "bread", "bicycles", "glass", "rivers", "clocks", "paper", "bees",
)  # fmt: skip
PAUSE_S = 2.0
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo counted. Times in seconds."""

    jobs_completed: int
    jobs_failed: int
    tokens_generated: int
    tokens_per_s: float
    leases: int
    heartbeats: int
    jobs_resumed: int
    worker_restarts: int
    paused_after_s: float
    tokens_checked: int
    tokens_lost: int
    wall_s: float

    @property
    def good(self) -> bool:
        return self.jobs_failed == 0 and self.tokens_lost == 0 and self.jobs_resumed >= 1


def demo(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object last.")] = False,
    chaos: Annotated[bool, typer.Option("--chaos", help="Workers fail on purpose, as GOGRID_CHAOS says.")] = False,
) -> None:
    """Show everything once: coordinator, agent, worker, an OpenAI client, a killed worker, the switch."""
    console = Console(highlight=False)
    try:
        from gogrid_desktop.cli import faults
        from gogrid_desktop.cli.stage import open_stage
        from gogrid_desktop.cli.submitter import Submitter
    except ImportError as error:
        raise GoGridError(
            f"{error.name} is missing.", 'Install the demo: pip install "gogrid-desktop[starter]"'
        ) from error
    began = time.monotonic()
    try:
        with open_stage({ENVIRONMENT: faults.rates()} if chaos else None) as stage:
            submitter = _set_up(console, stage, Submitter)
            try:
                outcome: Outcome | faults.Faults = (
                    faults.play(console, stage, submitter) if chaos else _play(console, stage, submitter, began)
                )
            finally:
                submitter.close()
    except KeyboardInterrupt:
        console.print("\nStopped; nothing is left running.")
        raise typer.Exit(INTERRUPTED) from None
    _show(console, outcome)
    if json:
        typer.echo(jsonlib.dumps(dataclasses.asdict(outcome)))
    if not outcome.good:
        raise typer.Exit(1)


def _set_up(console: Console, stage: Stage, make: type[Submitter]) -> Submitter:
    with console.status("Starting a coordinator ..."):
        stage.start_coordinator()
        invite = jsonlib.loads(stage.gogrid("coordinator", "invite", "--json"))["invite"]
        key = jsonlib.loads(stage.gogrid("coordinator", "key", "--name", "demo", "--json"))["key"]
    console.print(f"Coordinator on {stage.url}, with an invite for one machine and a key for one submitter.")
    with console.status("Enrolling this machine and loading the model ..."):
        # A server gives all it has: on a desktop the agent would be gentle while somebody is there. Whoever tries it
        # out may do so on a laptop's battery.
        stage.gogrid(
            "settings", "set", "role", "server", "power.pause_on_battery", "false", "sharing.take_turns", "false"
        )
        stage.gogrid("join", stage.url, invite, "--allow-plaintext-token")
        stage.start_agent()
        tray = stage.start_tray()
    submitter = make(stage.url, key)
    console.print(f"This machine is enrolled, in the role of a server; {submitter.model} is loaded.")
    if not tray:
        console.print("No display here, so no tray icon.")
    elif stage.process("tray").poll() is None:
        console.print("The tray icon shows meanwhile.")
    else:
        console.print("The tray could not be shown on this display: gogrid doctor says more.")
    return submitter


def _play(console: Console, stage: Stage, submitter: Submitter, began: float) -> Outcome:
    from gogrid_desktop.cli.submitter import account_for
    from gogrid_desktop.ipc import messages as m
    from gogrid_desktop.worker.journal import read_journal

    replies = [_stream(console, submitter)]
    batch, seconds = _eight(console, submitter)
    replies += batch
    replies.append(_killed(console, stage, submitter))
    reply, paused_after_s = _switched(console, stage, submitter)
    replies.append(reply)

    stage.until("all leases are settled", lambda now: now.jobs_running == 0)
    status = stage.tell(m.GetStatus(id=1))
    states = [submitter.state(reply.request) for reply in replies]
    choices = [choice for state in states for choice in state.choices]
    tokens = {state.id: sum(choice.have.tokens for choice in state.choices) for state in states}
    journal = read_journal(stage.journal)
    books = account_for(states, replies, journal)
    for finding in books.findings:
        console.print(f"[red]{finding}[/red]")
    return Outcome(
        jobs_completed=sum(choice.state == "completed" for choice in choices),
        jobs_failed=sum(choice.state != "completed" for choice in choices),
        tokens_generated=sum(tokens.values()),
        tokens_per_s=round(sum(tokens[reply.request] for reply in batch) / seconds, 1),
        leases=status.totals.leases,
        heartbeats=status.totals.heartbeats,
        jobs_resumed=len({entry.job for entry in journal if entry.count is None and entry.first > 0}),
        worker_restarts=status.totals.worker_restarts,
        paused_after_s=round(paused_after_s, 3),
        tokens_checked=books.tokens_checked,
        tokens_lost=books.tokens_lost,
        wall_s=round(time.monotonic() - began, 1),
    )


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _stream(console: Console, submitter: Submitter) -> Reply:
    console.rule("One answer, as it is made", align="left")
    reply = submitter.chat("Tell me three facts about the ocean.", 96, _write)
    _write("\n")
    return reply


def _eight(console: Console, submitter: Submitter) -> tuple[list[Reply], float]:
    console.rule("Eight requests at once", align="left")
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    began = time.monotonic()
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(len(TOPICS)) as pool:
        task = progress.add_task("answers", total=len(TOPICS))

        def ask(seed: int, topic: str) -> Reply:
            reply = submitter.chat(f"Write a short paragraph about {topic}.", 64, lambda _: None, seed)
            progress.advance(task)
            return reply

        futures = [pool.submit(ask, seed, topic) for seed, topic in enumerate(TOPICS)]
        replies = [future.result() for future in futures]
    return replies, time.monotonic() - began


def _killed(console: Console, stage: Stage, submitter: Submitter) -> Reply:
    console.rule("The worker is killed in the middle of an answer", align="left")
    killed = threading.Event()
    received = 0

    def on_text(text: str) -> None:
        nonlocal received
        received += len(text)
        if received > 80 and not killed.is_set():
            from gogrid_desktop.ipc import messages as m

            killed.set()
            pid = stage.tell(m.GetStatus(id=1)).worker_pid
            if pid is not None:
                os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
                _write(" [killed] ")
        _write(text)

    reply = submitter.chat("Tell me a story about a lighthouse keeper.", 128, on_text, seed=11)
    _write("\n")
    if not killed.is_set():
        raise GoGridError("The answer was over before the worker could be killed.", "Run the demo again.")
    return reply


def _switched(console: Console, stage: Stage, submitter: Submitter) -> tuple[Reply, float]:
    """Sharing is switched off in the middle of an answer and on again; returns the time that switching off took."""
    from gogrid_desktop.ipc import messages as m

    console.rule("Sharing is switched off and on again", align="left")
    first = threading.Event()
    received: list[str] = []

    def on_text(text: str) -> None:
        received.append(text)
        _write(text)
        first.set()

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(submitter.chat, "Explain how a sailing boat can go upwind.", 128, on_text, 12)
        if not first.wait(60):
            raise GoGridError("No text came within 60 s.")
        began = time.monotonic()
        stage.tell(m.Pause(id=1))
        paused_after_s = time.monotonic() - began
        _write(" [off] ")
        time.sleep(PAUSE_S)
        stage.tell(m.Resume(id=1))
        _write(" [on] ")
        reply = answer.result()
    _write("\n")
    return reply, paused_after_s


def _show(console: Console, outcome: Outcome | Faults) -> None:
    table = Table(title="What happened", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("value", justify="right")
    for field in dataclasses.fields(outcome):
        value = getattr(outcome, field.name)
        text = ", ".join(f"{count} {end}" for end, count in value.items()) if isinstance(value, dict) else f"{value:,}"
        table.add_row(field.name.replace("_per_s", "/s").replace("_", " "), text)
    console.print(table)
