"""GPUs of AMD under Linux: /sys/class/drm, and who uses them by /proc.

Source: the kernel's Documentation/gpu/amdgpu (`gpu_busy_percent`, `mem_info_vram_*`) and Documentation/hwmon. A card
that sleeps is not asked for anything that would wake it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from gogrid_desktop.system.gpu import Gpu, GpuProcess
from gogrid_desktop.system.gpu.fdinfo import FdInfo


class AmdGpus:
    """`sysfs`, `proc`: where the kernel shows devices and processes. `clock`: monotonic, seconds."""

    def __init__(
        self,
        sysfs: Path = Path("/sys"),
        proc: Path = Path("/proc"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cards, self._clock = sysfs / "class/drm", clock
        self._users = FdInfo(proc, clock)

    def read(self, first: int) -> tuple[Gpu, ...]:
        """All of them, numbered from `first`. Without any, no process is looked into."""
        cards = [card for card in sorted(self._cards.glob("card*")) if card.name.removeprefix("card").isdecimal()]
        found = [card for card in cards if _number(card / "device/mem_info_vram_total")]
        if not found:
            return ()
        awake = {card for card in found if _text(card / "device/power/runtime_status") != "suspended"}
        users = self._users.read() if awake else {}
        now = self._clock()
        return tuple(
            _awake(first + number, card, users.get(_address(card), ()), now)
            if card in awake
            else _asleep(first + number, card, now)
            for number, card in enumerate(found)
        )


def _awake(index: int, card: Path, processes: tuple[GpuProcess, ...], now: float) -> Gpu:
    device = card / "device"
    total = _number(device / "mem_info_vram_total") or 0
    used = min(total, _number(device / "mem_info_vram_used") or 0)
    busy = _number(device / "gpu_busy_percent")
    sensors = next(iter(sorted((device / "hwmon").glob("hwmon*"))), device / "hwmon")
    power_uw = _first(sensors, "power1_average", "power1_input")
    energy_uj = _number(sensors / "energy1_input")
    return Gpu(
        index=index,
        name=_name(card),
        driver="amdgpu",
        vram_total_bytes=total,
        vram_used_bytes=used,
        vram_free_bytes=total - used,
        utilisation=None if busy is None else min(1.0, busy / 100),
        screen=_screen(card),
        processes=processes,
        sampled_at=now,
        temperature_c=_celsius(sensors / "temp1_input"),
        slowdown_c=_celsius(sensors / "temp1_crit"),
        power_w=None if power_uw is None else power_uw / 1e6,
        fan=_fan(sensors),
        energy_j=None if energy_uj is None else energy_uj / 1e6,
        pci=_address(card),
    )


def _asleep(index: int, card: Path, now: float) -> Gpu:
    total = _number(card / "device/mem_info_vram_total") or 0
    name, pci = _name(card), _address(card)
    return Gpu(index, name, "amdgpu", total, 0, total, 0.0, screen=False, processes=(), sampled_at=now, pci=pci)


def _name(card: Path) -> str:
    return _text(card / "device/product_name") or f"AMD GPU {_address(card)}"


def _address(card: Path) -> str:
    return (card / "device").resolve().name


def _screen(card: Path) -> bool:
    return any(_text(connector / "enabled") == "enabled" for connector in card.glob(f"{card.name}-*"))


def _fan(sensors: Path) -> float | None:
    speed, most = _number(sensors / "fan1_input"), _number(sensors / "fan1_max")
    if speed is not None and most:
        return min(1.0, speed / most)
    pwm = _number(sensors / "pwm1")
    return None if pwm is None else min(1.0, pwm / 255)


def _celsius(file: Path) -> float | None:
    value = _number(file)
    return value / 1000 if value is not None and 0 < value < 200_000 else None


def _first(folder: Path, *names: str) -> int | None:
    return next((value for name in names if (value := _number(folder / name)) is not None), None)


def _number(file: Path) -> int | None:
    text = _text(file)
    return int(text) if text.isdecimal() else None


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
