"""`gogrid status|pause|resume|snooze|stop`: what the tray does, from a terminal."""

from __future__ import annotations

import dataclasses
import json as jsonlib
import re
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gogrid_desktop.cli.metrics import metrics as as_text
from gogrid_desktop.core.status import AgentStatus
from gogrid_desktop.core.words import in_words
from gogrid_desktop.errors import BadInput
from gogrid_desktop.ipc import messages as m
from gogrid_desktop.ipc.client import LocalClient, call
from gogrid_desktop.paths import app_paths

_UNITS_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_SNOOZE_S, LONGEST_ANYWAY_S = 7 * 86400.0, 12 * 3600.0
MORNING_H = 5


def parse_duration(text: str, longest_s: float = LONGEST_SNOOZE_S) -> float:
    """Seconds of "90s", "15m", "1h", "2d". Raises BadInput outside 1 s .. `longest_s`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)", text.strip().lower())
    seconds = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if not 1 <= seconds <= longest_s:
        raise BadInput("duration", text, f"1s to {in_words(longest_s)}, for example 15m, 1h or 3h")
    return seconds


def until_morning_s(now: time.struct_time) -> float:
    """Seconds until 5 in the morning of the next day on the wall; before that, of this day."""
    day = now.tm_mday + (now.tm_hour >= MORNING_H)
    # mktime knows the nights in which clocks change, and the last day of a month.
    morning = time.mktime((now.tm_year, now.tm_mon, day, MORNING_H, 0, 0, 0, 0, -1))
    return morning - time.mktime(now)


def three_lines(status: AgentStatus) -> str:
    """What the tooltip says, for a terminal."""
    first = f"{status.headline}: {status.reason}" if status.reason else status.headline
    jobs = "1 job" if status.jobs_running == 1 else f"{status.jobs_running} jobs"
    grid = status.coordinator or "no grid"
    line = "connected to" if status.connected else "not connected to"
    lines = [
        first,
        status.what_next or "-",
        f"{jobs}, {status.tokens_per_s:.0f} tokens/s, {line} {grid}; "
        f"so far {status.totals.jobs:,} jobs, {status.totals.tokens:,} tokens",
    ]
    lines += [text for text in (status.notice, *(f"{note}." for note in status.signals), status.suggestion) if text]
    return "\n".join(lines)


def particulars(status: AgentStatus) -> str:
    """Profile, limits, how requests were spaced, and each worker."""
    limits, throttle = status.limits, status.throttle
    disk = {0: "none", 1: "real-time", 2: "best effort", 3: "idle"}[limits.ionice_class]
    lines = [
        f"profile   {status.profile.word}: {limits.compute_share:.0%} of the time, {limits.vram_fraction:.0%} of the"
        f" GPU's memory, {limits.batch} at once, nice {limits.nice}, disk {disk},"
        f" {limits.interval_ms} ms between requests",
        f"requests  {throttle.total:,}; {throttle.throttled:,} waited ({throttle.rate:.1%}), {throttle.cancelled:,}"
        f" gave up, {throttle.rejected_for_vram:,} refused for memory",
    ]
    quick = status.yielding
    if quick.whole.count:
        lines.append(
            f"yielding  gave way {quick.count:,} times in the middle of work; 99 % within"
            f" {quick.whole.within_ms(0.99):.0f} ms of the event ({quick.decided.within_ms(0.99):.0f} to decide,"
            f" {quick.stopped.within_ms(0.99):.0f} until no step ran)"
            + (f"; memory back within {quick.memory.within_ms(0.95):.0f} ms" if quick.memory.count else "")
        )
    for worker in status.workers:
        pid = f" (pid {worker.pid})" if worker.pid is not None else ""
        lines.append(
            f"worker    {worker.model}: {worker.state}{pid}, {worker.jobs} jobs, {worker.tokens_per_s:.0f} tokens/s"
            + (f", {worker.rss_bytes / 2**20:,.0f} MiB" if worker.rss_bytes else "")  # not yet measured
        )
        lines += [f"          {text}" for text in (worker.plan, worker.rank, worker.health, worker.problem) if text]
    return "\n".join(lines)


def why_table(status: AgentStatus) -> Table:
    """The rule trace: every ceiling, the one that binds first."""
    table = Table(box=None, pad_edge=False)
    for heading in ("rule", "at most", "because"):
        table.add_column(heading)
    for reason in status.reasons:
        table.add_row(reason.rule, reason.ceiling.word, reason.sentence)
    return table


def status(
    why: Annotated[bool, typer.Option("--why", help="Every rule, and what it says.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again at every change.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Everything, as one JSON object.")] = False,
    metrics: Annotated[bool, typer.Option("--metrics", help="Figures, as Prometheus reads them.")] = False,
) -> None:
    """What this computer shares now, and why."""
    console = Console(highlight=False)

    def show(now: AgentStatus) -> None:
        if metrics:
            typer.echo(as_text(now), nl=False)
            return
        if json:
            typer.echo(jsonlib.dumps(dataclasses.asdict(now)))
            return
        console.print(three_lines(now), markup=False, soft_wrap=True)
        console.print(particulars(now), markup=False, soft_wrap=True)
        if why:
            console.print(why_table(now))

    with LocalClient(app_paths().endpoint_file) as client:
        if not watch:
            show(_status_of(client.call(m.GetStatus(id=1))))
            return
        try:
            for now in client.watch():
                if not json:
                    console.print(time.strftime("%H:%M:%S"), style="dim")
                show(now)
        except KeyboardInterrupt:
            return


def pause() -> None:
    """Stop sharing until `gogrid resume`."""
    _tell(m.Pause(id=1))


def resume(
    anyway: Annotated[
        str, typer.Option("--anyway", help="Although you are here: for so long, at most 12h.", metavar="1h")
    ] = "",
) -> None:
    """Share again; ends a snooze and `gogrid drain` too."""
    _tell(m.Resume(id=1, anyway_s=parse_duration(anyway, LONGEST_ANYWAY_S) if anyway else None))


def snooze(until: Annotated[str, typer.Argument(help="15m, 1h, 3h, ..., tomorrow, away")] = "1h") -> None:
    """Stop sharing for a while, until 5 in the morning, or until you are away."""
    if until == "away":
        _tell(m.Pause(id=1, until_away=True))
    elif until == "tomorrow":
        _tell(m.Pause(id=1, for_s=until_morning_s(time.localtime())))
    else:
        _tell(m.Pause(id=1, for_s=parse_duration(until)))


def drain() -> None:
    """Finish what runs, take nothing new, then pause until `gogrid resume`."""
    _tell(m.Drain(id=1))


def stop() -> None:
    """End the agent; its leases go back with what they have."""
    call(app_paths().endpoint_file, m.Stop(id=1))
    Console().print("The agent stops.")


def _tell(command: m.Command) -> None:
    now = _status_of(call(app_paths().endpoint_file, command))
    Console(highlight=False).print(three_lines(now), markup=False, soft_wrap=True)


def _status_of(reply: m.Reply) -> AgentStatus:
    if reply.status is None:
        raise TypeError("a reply without a status")
    return reply.status
