"""Who uses the GPUs of any DRM driver of Linux: /proc/PID/fdinfo, of the processes that this user may look into.

Source: the kernel's Documentation/gpu/drm-usage-stats.rst. One client may be open under several descriptors and in
several processes; it counts once, for the first process that has it. Time on an engine counts up, and may be told late.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gogrid_desktop.system.gpu import GpuProcess

#: Every descriptor of every process is looked at so often; those of GPUs at each reading.
SEARCH_EVERY_S = 2.0
_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
#: What is there of memory on the card, the best figure first. Names of regions differ: "vram", "vram0", "local0".
_MEMORY = ("drm-resident-", "drm-memory-", "drm-total-")
_ON_CARD = ("vram", "local")


@dataclass(slots=True)
class _Client:
    pid: int
    used_bytes: int | None
    engines_ns: dict[str, int]
    capacity: dict[str, int] = field(default_factory=dict)


class FdInfo:
    """`proc`: where the kernel shows processes. `clock`: monotonic, seconds."""

    def __init__(self, proc: Path = Path("/proc"), clock: Callable[[], float] = time.monotonic) -> None:
        self._proc, self._clock = proc, clock
        self._files: list[Path] = []
        self._searched_at: float | None = None
        self._before: dict[tuple[str, str], _Client] = {}
        self._before_at: float | None = None

    def read(self) -> dict[str, tuple[GpuProcess, ...]]:
        """Processes by their GPU's address, as sysfs writes it. Their use is that since the last reading."""
        now = self._clock()
        if self._searched_at is None or now - self._searched_at >= SEARCH_EVERY_S:
            self._files, self._searched_at = list(self._search()), now
        clients: dict[tuple[str, str], _Client] = {}
        for file in self._files:
            told = _told(file)
            key = told.get("drm-pdev", ""), told.get("drm-client-id", "")
            if all(key) and key not in clients:
                clients[key] = _client(int(file.parts[-3]), told)
        passed_ns = None if self._before_at is None else (now - self._before_at) * 1e9
        found = {pdev: _processes(pdev, clients, self._before, passed_ns) for pdev, _ in clients}
        for key, client in clients.items():
            if (before := self._before.get(key)) is not None:
                for engine, ns in before.engines_ns.items():
                    client.engines_ns[engine] = max(ns, client.engines_ns.get(engine, 0))
        self._before, self._before_at = clients, now
        return found

    def _search(self) -> Iterator[Path]:
        """The fdinfo of every descriptor that is a GPU's."""
        for process in sorted(self._proc.glob("[0-9]*"), key=lambda folder: int(folder.name)):
            try:
                for descriptor in sorted((process / "fd").iterdir()):
                    if str(descriptor.readlink()).startswith("/dev/dri/"):
                        yield process / "fdinfo" / descriptor.name
            except OSError:  # another user's, or it ended
                continue


def _processes(
    pdev: str, clients: Mapping[tuple[str, str], _Client], before: Mapping[tuple[str, str], _Client], ns: float | None
) -> tuple[GpuProcess, ...]:
    used: dict[int, int | None] = {}
    engines: dict[int, dict[str, float]] = {}
    for key, client in clients.items():
        if key[0] != pdev:
            continue
        known = used.get(client.pid, 0)
        used[client.pid] = None if known is None or client.used_bytes is None else known + client.used_bytes
        shares = engines.setdefault(client.pid, {})
        for engine, value in client.engines_ns.items():
            last = before[key].engines_ns.get(engine, value) if key in before else value
            shares[engine] = shares.get(engine, 0.0) + max(0, value - last) / client.capacity.get(engine, 1)
    return tuple(
        GpuProcess(pid, used[pid], min(1.0, max(shares.values(), default=0.0) / ns) if ns else None)
        for pid, shares in sorted(engines.items())
    )


def _client(pid: int, told: Mapping[str, str]) -> _Client:
    engines: dict[str, int] = {}
    capacity: dict[str, int] = {}
    memory: dict[str, int] = {}
    for key, text in told.items():
        value = _number(text)
        if value is None:
            continue
        if key.startswith("drm-engine-capacity-"):
            capacity[key.removeprefix("drm-engine-capacity-")] = max(1, value)
        elif key.startswith("drm-engine-"):
            engines[key.removeprefix("drm-engine-")] = value
        for kind in _MEMORY:
            if key.startswith(kind) and key.removeprefix(kind).startswith(_ON_CARD):
                memory[kind] = memory.get(kind, 0) + value
    return _Client(pid, next((memory[kind] for kind in _MEMORY if kind in memory), None), engines, capacity)


def _number(text: str) -> int | None:
    value, _, unit = text.partition(" ")
    return int(value) * _UNITS.get(unit, 1) if value.isdecimal() else None


def _told(file: Path) -> dict[str, str]:
    """Keys and values; none where it was closed meanwhile."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {key: value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}
