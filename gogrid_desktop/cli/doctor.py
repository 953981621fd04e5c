"""`gogrid doctor`: what this computer has, what is missing for sharing, and what to do about it; one line each."""

from __future__ import annotations

import dataclasses
import json as jsonlib
import logging
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console

from gogrid_desktop.client.grid import reachable
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.config.store import SettingsStore
from gogrid_desktop.core.idle import Kind
from gogrid_desktop.errors import GoGridError, SecretStoreError
from gogrid_desktop.paths import AppPaths, app_paths
from gogrid_desktop.system import host
from gogrid_desktop.system.gpu import GpuReading
from gogrid_desktop.system.secrets.system_keyring import KeyringSecrets

log = logging.getLogger(__name__)

GIB = 2**30
LEAST_DISK_BYTES = GIB // 4
GOOD_DISK_BYTES = 4 * GIB
LEAST_MEMORY_BYTES = GIB // 2
LLAMA_LIMIT_S = 30.0
#: Asked of another process: loading llama.cpp takes the GPU's driver with it, and may abort.
ASK_LLAMA = (
    "import llama_cpp as l; print(l.__version__, int(l.llama_supports_gpu_offload()), "
    "l.llama_print_system_info().decode(), sep='\\n')"
)


class Grade(StrEnum):
    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"  # without it nothing is shared


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, what was found, what to do."""

    name: str
    grade: Grade
    found: str
    remedy: str = ""


def doctor(json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False) -> None:
    """What this computer can share, what is missing, and what to do. Exit code 1 if something required is missing."""
    console = Console(highlight=False)
    with Console(stderr=True).status("Looking around ..."):
        checks = examine(app_paths())
    can_share = all(check.grade is not Grade.MISSING for check in checks)
    if json:
        typer.echo(jsonlib.dumps({"can_share": can_share, "checks": [dataclasses.asdict(check) for check in checks]}))
    else:
        colours = {Grade.OK: "green", Grade.WARNING: "yellow", Grade.MISSING: "red"}
        for check in checks:
            console.print(f"{check.grade.value:<8}", style=colours[check.grade], end="")
            console.print(f"{check.name:<12}{check.found} {check.remedy}".rstrip(), markup=False, soft_wrap=True)
    raise typer.Exit(0 if can_share else 1)


def examine(paths: AppPaths) -> list[Check]:
    """All checks, in the order in which they are shown; they run at the same time."""
    settings, first = _settings(paths)
    gpus = host.gpu_probe().read()
    looks: dict[str, Callable[[], Check]] = {
        "python": _python,
        "gpu": lambda: _gpu(gpus),
        "inference": lambda: _inference(gpus),
        "memory": lambda: _memory(gpus),
        "disk": lambda: _disk(settings.models.folder or paths.models),
        "idle time": lambda: _idle(settings),
        "power": lambda: _power(settings),
        "screen": lambda: _screen(settings),
        "keyring": lambda: _keyring(settings),
        "tray": _tray,
        "coordinator": lambda: _coordinator(settings),
    }
    with ThreadPoolExecutor(len(looks)) as pool:
        return [first, *pool.map(lambda look: _guarded(*look), looks.items())]


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except Exception as error:
        log.exception("the check %s failed", name)
        return Check(name, Grade.WARNING, f"could not be checked ({type(error).__name__}).", "Please report this.")


def _settings(paths: AppPaths) -> tuple[Settings, Check]:
    try:
        store = SettingsStore(paths.settings_file)
    except GoGridError as error:
        return Settings(), Check("settings", Grade.MISSING, error.message, error.remedy)
    if store.notice:
        return store.settings, Check("settings", Grade.WARNING, store.notice, "See them with: gogrid settings show")
    found = str(paths.settings_file) if paths.settings_file.exists() else "all at their defaults"
    return store.settings, Check("settings", Grade.OK, found)


def _python() -> Check:
    return Check("python", Grade.OK, f"{platform.python_version()} ({sys.executable})")


def _gpu(reading: GpuReading) -> Check:
    if not reading.gpus:
        remedy = "GoGrid shares the processor instead. For a GPU of NVIDIA install its driver."
        return Check("gpu", Grade.WARNING, reading.problem, remedy)
    names = ", ".join(f"{gpu.name} ({gpu.vram_total_bytes / GIB:.1f} GiB)" for gpu in reading.gpus)
    return Check("gpu", Grade.OK, f"{names}, driver {reading.gpus[0].driver}")


def _inference(reading: GpuReading) -> Check:
    install = "Install it with: pip install 'gogrid-desktop[worker]'"
    try:
        asked = subprocess.run(
            [sys.executable, "-c", ASK_LLAMA], capture_output=True, text=True, timeout=LLAMA_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Check("inference", Grade.MISSING, f"llama.cpp does not start within {LLAMA_LIMIT_S:.0f} s.", install)
    if asked.returncode != 0:
        why = (asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"])[-1]
        return Check("inference", Grade.MISSING, f"llama.cpp cannot be loaded: {why}.", install)
    version, offload, info = [*asked.stdout.splitlines(), "", "", ""][:3]
    found = f"llama-cpp-python {version} with {', '.join(backends(info)) or 'unknown backends'}"
    if reading.gpus and offload != "1":
        build = "Install a build of llama-cpp-python with CUDA."
        return Check("inference", Grade.WARNING, f"{found}: it cannot use the GPU.", build)
    return Check("inference", Grade.OK, found)


def backends(system_info: str) -> list[str]:
    """Names of the backends in llama.cpp's system info, "CUDA : ARCHS = 900 | CPU : SSE3 = 1 | ..."."""
    return [part.partition(" : ")[0].strip() for part in system_info.split("|") if " : " in part]


def _memory(reading: GpuReading) -> Check:
    if reading.gpus:
        free, kind = max(gpu.vram_free_bytes for gpu in reading.gpus), "of GPU memory free"
    else:
        free, kind = psutil.virtual_memory().available, "of memory available (there is no GPU)"
    found = f"{free / GIB:.1f} GiB {kind}"
    if free < LEAST_MEMORY_BYTES:
        return Check("memory", Grade.WARNING, found, "Close what uses it: no model fits now.")
    return Check("memory", Grade.OK, found)


def _disk(folder: Path) -> Check:
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / GIB:.1f} GiB free for models in {folder}"
    remedy = "Free some space, or keep models elsewhere: gogrid settings set models.folder FOLDER"
    if free < LEAST_DISK_BYTES:
        return Check("disk", Grade.MISSING, found, remedy)
    return Check("disk", Grade.WARNING, found, remedy) if free < GOOD_DISK_BYTES else Check("disk", Grade.OK, found)


def _idle(settings: Settings) -> Check:
    if settings.role == "server":
        return Check("idle time", Grade.OK, "not needed on a server")
    for probe in host.idle_probes():
        idle_s = probe.idle_s() if probe.kind is Kind.COUNTER else None
        if idle_s is not None:
            return Check("idle time", Grade.OK, f"{probe.name} answers: {idle_s:.0f} s")
    return Check(
        "idle time",
        Grade.WARNING,
        "no source answers, so you count as present all the time.",
        "Run this in your desktop session, or: gogrid settings set role server",
    )


def _power(settings: Settings) -> Check:
    probe = host.power_probe()
    power = probe.read()
    matters = settings.power.pause_on_battery
    if power.mains is None:
        remedy = "" if not matters else "To share whatever the power: gogrid settings set power.pause_on_battery false"
        return Check("power", Grade.MISSING if matters else Grade.OK, "nothing says where it comes from.", remedy)
    found = "mains" if power.mains else "battery"
    found += "" if power.charge is None else f", charge {round(power.charge * 100)} %"
    found += ", battery saver on" if power.saver else ""
    if matters and (power.saver or not power.mains):
        return Check("power", Grade.WARNING, f"{found}: sharing is paused.", "Plug it in, or switch the saver off.")
    return Check("power", Grade.OK, f"{found} ({probe.name})")


def _screen(settings: Settings) -> Check:
    if settings.role == "server" or not settings.screen.pause_on_fullscreen:
        return Check("screen", Grade.OK, "not looked at, as you set it")
    probe = host.screen_probe()
    seen = probe.read()
    if seen.fullscreen is None:
        found = "nothing says whether a program fills it, so you count as present all the time."
        return Check("screen", Grade.WARNING, found, "Otherwise: gogrid settings set screen.pause_on_fullscreen false")
    what = (seen.program or "something") if seen.fullscreen else "nothing"
    return Check("screen", Grade.OK, f"{what} fills it ({probe.name})")


def _keyring(settings: Settings) -> Check:
    try:
        return Check("keyring", Grade.OK, KeyringSecrets().backend())
    except SecretStoreError as error:
        if settings.secrets.allow_plaintext:
            found = "none answers; the node's token is kept in a file that only you can read, as you allowed."
            return Check("keyring", Grade.WARNING, found)
        return Check("keyring", Grade.MISSING, error.message, error.remedy)


def _tray() -> Check:
    match host.tray():
        case "found":
            return Check("tray", Grade.OK, "there is a place for the icon")
        case "absent":
            return Check("tray", Grade.WARNING, "this desktop shows no tray.", "A small window stands in for the icon.")
        case "no desktop":
            return Check("tray", Grade.WARNING, "no desktop here.", "Share without one: gogrid agent run")
        case _:
            return Check("tray", Grade.WARNING, "unknown on this desktop.", "Without one a small window stands in.")


def _coordinator(settings: Settings) -> Check:
    address = settings.grid.coordinator
    if not address:
        join = "Join one with: gogrid join COORDINATOR INVITE"
        return Check("coordinator", Grade.MISSING, "this computer has joined no grid.", join)
    problem = reachable(address)
    if problem is None:
        return Check("coordinator", Grade.OK, f"{address} answers")
    return Check("coordinator", Grade.MISSING, problem, "Check the address and your network.")
