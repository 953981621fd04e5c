"""What all our processes cost a desktop while nothing is asked of them, beside Debian's BOINC on the same desktop.

Once sharing without a job (joined, the model loaded), once paused by the person (the model's memory given back); all
of a minute, both sides at the same time. Three figures: processor time, voluntary context switches of all threads
(threads that began and ended meanwhile are not seen), and the proportional set size. A loaded model has no counterpart
in BOINC without a task: the memory that is compared is that of tray, agent and what helps it; the worker's is told.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import boinc, desktop
from bench.claim import Claim, note
from bench.desktop import PrivateDesktop
from gogrid_desktop.cli.stage import Stage, open_stage

SETTLE_S, WINDOW_S = 20.0, 60.0
#: The agent keeps a model for a minute of pause.
UNLOADED_WITHIN_S = 120.0
PEER = "boinc and boincmgr"
_WORKER = "gogrid_desktop.worker"


def claims() -> Iterator[Claim]:
    if lacking := desktop.missing():
        note(f"footprint needs {', '.join(lacking)}: scripts/system-packages desktop")
        return
    with PrivateDesktop(panel=True) as screen, open_stage(screen.environment) as stage:
        peer = _start_peer(screen)
        _start_ours(stage)
        time.sleep(SETTLE_S)
        yield from _claims("sharing without a job", *_measure(_ours(stage), [each.pid for each in peer]))
        stage.gogrid("pause")
        stage.until("the model's memory is given back", lambda now: now.worker_pid is None, UNLOADED_WITHIN_S)
        time.sleep(SETTLE_S)
        yield from _claims("paused", *_measure(_ours(stage), [each.pid for each in peer]))


def _start_peer(screen: PrivateDesktop) -> list[psutil.Process]:
    if lacking := desktop.missing(boinc.PROGRAMS):
        note(f"there is no peer: {', '.join(lacking)} not installed (scripts/system-packages bench)")
        return []
    peer = boinc.Boinc(screen)
    return [psutil.Process(peer.client.pid), psutil.Process(peer.start_manager().pid)]


def _start_ours(stage: Stage) -> None:
    stage.start_coordinator()
    invite = json.loads(stage.gogrid("coordinator", "invite", "--json"))["invite"]
    stage.gogrid("settings", "set", "power.pause_on_battery", "false", "sharing.take_turns", "false")
    stage.gogrid("join", stage.url, invite, "--allow-plaintext-token")
    stage.start_agent()
    stage.start_tray()


def _ours(stage: Stage) -> list[int]:
    agent = psutil.Process(stage.process("agent").pid)
    return [stage.process("tray").pid, agent.pid, *(each.pid for each in agent.children(recursive=True))]


@dataclass(frozen=True, slots=True)
class _Used:
    """CPU seconds and wake-ups since its start, and bytes (of them: mapped from a model's file) of one process."""

    cpu_s: float
    wakes: int
    pss: int
    model: int


@dataclass(frozen=True, slots=True)
class _Side:
    """Of several processes over the window. The worker's are in `wakes_per_s` and `cpu_percent`, not in `pss_mb`."""

    cpu_percent: float
    wakes_per_s: float
    pss_mb: float


def _measure(ours: Sequence[int], peer: Sequence[int]) -> tuple[_Side, _Side | None]:
    names = {pid: _name(pid) for pid in (*ours, *peer)}
    before = {pid: _read(pid) for pid in (*ours, *peer)}
    began_s = time.monotonic()
    time.sleep(WINDOW_S)
    took_s = time.monotonic() - began_s
    if ended := [name for pid, name in names.items() if not psutil.pid_exists(pid) or _is_over(pid)]:
        raise RuntimeError(f"ended while it was measured: {', '.join(ended)}")
    after = {pid: _read(pid) for pid in (*ours, *peer)}
    for pid, now in after.items():
        note(
            f"  {names[pid]:60.60} {100 * (now.cpu_s - before[pid].cpu_s) / took_s:.2f} % of a core,"
            f" {(now.wakes - before[pid].wakes) / took_s:.1f} wake-ups/s, {now.pss / 1e6:.1f} MB"
            + (f", {now.model / 1e6:.1f} MB of them the model's file" if now.model else "")
        )

    def side(pids: Sequence[int]) -> _Side:
        return _Side(
            100 * sum(after[pid].cpu_s - before[pid].cpu_s for pid in pids) / took_s,
            sum(after[pid].wakes - before[pid].wakes for pid in pids) / took_s,
            sum(after[pid].pss for pid in pids if _WORKER not in names[pid]) / 1e6,
        )

    return side(ours), side(peer) if peer else None


def _claims(state: str, ours: _Side, peer: _Side | None) -> Iterator[Claim]:
    def claim(what: str, unit: str, value: float, peer_value: float | None) -> Claim:
        return Claim(
            bench=f"footprint, {state}, {what}",
            value=round(value, 2),
            unit=unit,
            peer=PEER if peer_value is not None else None,
            peer_value=None if peer_value is None else round(peer_value, 2),
            bound="< the peer's",
            holds=peer_value is not None and value < peer_value,
        )

    yield claim("processor", "% of one core", ours.cpu_percent, peer.cpu_percent if peer else None)
    yield claim("wake-ups", "per s", ours.wakes_per_s, peer.wakes_per_s if peer else None)
    yield claim("memory of tray and agent", "MB", ours.pss_mb, peer.pss_mb if peer else None)


def _read(pid: int) -> _Used:
    process = psutil.Process(pid)
    times = process.cpu_times()
    pss = model = 0
    for mapping in process.memory_maps():
        pss += mapping.pss
        model += mapping.pss if mapping.path.endswith(".gguf") else 0
    return _Used(times.user + times.system + times.children_user + times.children_system, _wakes(pid), pss, model)


def _is_over(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def _wakes(pid: int) -> int:
    """Voluntary context switches of all threads."""
    found = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # a thread that has ended
            words = (task / "status").read_text().partition("voluntary_ctxt_switches:")[2].split()
            found += int(words[0])
    return found


def _name(pid: int) -> str:
    words = psutil.Process(pid).cmdline()
    return " ".join(words[1:] if "python" in Path(words[0]).name else words)
