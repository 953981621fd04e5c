"""How soon a game has the GPU: from its first use of it to the decision, to no step, and to the memory given back.

A real coordinator, agent and worker, streams answered all the time; the driver's library is the stand-in of the tests,
whose scenario file says that another process uses 80 % of the GPU and 6 GiB. The time is taken before the file is
written. The stand-in tells at once what a driver tells after up to a sixth of a second.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.claim import Claim, note
from bench.desktop import until
from bench.reaction import Streams, rank
from gogrid_desktop.cli.stage import Stage, open_stage
from gogrid_desktop.cli.submitter import Submitter
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.ipc import messages as m

TIMES = 20
GIB = 2**30
SOURCE = Path(__file__).parent.parent / "tests" / "fake_nvml" / "nvml.c"
MOST_DECIDED_MS, MOST_STOPPED_MS, MOST_MEMORY_MS = 1000.0, 100.0, 1000.0
_PATIENCE_S = 60.0


def claims() -> Iterator[Claim]:
    with tempfile.TemporaryDirectory(prefix="gogrid-bench-") as folder:
        library, card = Path(folder) / "libnvidia-ml.so.1", Path(folder) / "card"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(SOURCE)], check=True)
        _write(card)
        path = f"{folder}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":")
        with open_stage({"LD_LIBRARY_PATH": path, "FAKE_NVML_FILE": str(card)}) as stage:
            times = _games(stage, card)
    for what, most_ms, times_ms in zip(
        ("from its first use to the decision", "decision to no step", "decision to memory back"),
        (MOST_DECIDED_MS, MOST_STOPPED_MS, MOST_MEMORY_MS),
        map(sorted, zip(*times, strict=True)),
        strict=True,
    ):
        for name, part in (("p50", 0.5), ("p95", 0.95)):
            value = rank(times_ms, part)
            yield Claim(
                bench=f"game, {what}, {name} of {TIMES}",
                value=round(value, 1),
                unit="ms",
                bound=f"<= {most_ms:g} ms",
                holds=value <= most_ms,
            )


def _games(stage: Stage, card: Path) -> list[tuple[float, float, float]]:
    """Milliseconds of each game: to the decision, from there to no step, and to the memory back."""
    draw = random.Random(11)
    yields = stage.home / "yields.jsonl"
    yields.touch()
    stage.start_coordinator()
    invite = json.loads(stage.gogrid("coordinator", "invite", "--json"))["invite"]
    key = json.loads(stage.gogrid("coordinator", "key", "--json"))["key"]
    stage.gogrid("settings", "set", "role", "server", "power.pause_on_battery", "false", "sharing.take_turns", "false")
    stage.gogrid("join", stage.url, invite, "--allow-plaintext-token")
    stage.start_agent(plaintext=False, command=(sys.executable, "-m", "bench.skipping_agent", str(yields)))
    streams = Streams(Submitter(stage.url, key))
    times = []
    while len(times) < TIMES:
        until("it shares", lambda: _shares(stage, streams), _PATIENCE_S, every_s=0.2)
        time.sleep(draw.uniform(0.5, 1.5))
        times.append(_game(stage, card, yields))
    streams.stop()
    note("to the decision: " + " ".join(f"{decided:.0f}" for decided, _, _ in times) + " ms")
    return times


def _game(stage: Stage, card: Path, yields: Path) -> tuple[float, float, float]:
    before = stage.tell(m.GetStatus(id=1)).yielding.memory
    began_s = time.monotonic()
    _write(card, os.getpid())
    until("the game is seen", lambda: _paused(yields, began_s) is not None, _PATIENCE_S, every_s=0.02)
    until("its memory is back", lambda: stage.tell(m.GetStatus(id=1)).yielding.memory.count > before.count)
    gave_way = _paused(yields, began_s) or {}
    back_ms = stage.tell(m.GetStatus(id=1)).yielding.memory.sum_ms - before.sum_ms
    _write(card)
    return 1000 * (gave_way["decided"] - began_s), 1000 * (gave_way["held"] - gave_way["decided"]), back_ms


def _shares(stage: Stage, streams: Streams) -> bool:
    """Tokens are made; a hold that still runs is skipped."""
    streams.check()
    if stage.tell(m.GetStatus(id=1)).profile is Profile.PAUSED:
        stage.process("agent").send_signal(signal.SIGUSR1)
        return False
    size = stage.journal.stat().st_size
    time.sleep(0.2)
    return stage.journal.stat().st_size > size


def _paused(yields: Path, since_s: float) -> dict[str, float] | None:
    """The first pause since then."""
    complete = yields.read_text().rpartition("\n")[0]
    moments = (json.loads(line) for line in complete.splitlines())
    return next((one for one in moments if one["decided"] >= since_s and one["profile"] == "paused"), None)


def _write(card: Path, pid: int = 0) -> None:
    used, percent = (7, 80) if pid else (1, 0)
    process = f" {pid}:{6 * GIB}:80" if pid else ""
    fresh = card.with_suffix(".new")
    fresh.write_text(f"{8 * GIB} {used * GIB} 1 0 gpu={percent} temp=55 slow=93{process}\n")
    fresh.replace(card)
