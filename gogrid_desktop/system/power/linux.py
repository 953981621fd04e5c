"""Power on Linux: /sys/class/power_supply and the platform profile.

Source: the kernel's Documentation/ABI/testing/sysfs-class-power and sysfs-platform_profile. Batteries of mice and
headsets stand there too (`scope` Device) and do not count.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

from gogrid_desktop.core.power import Power

_DISCHARGING, _FED = "Discharging", ("Charging", "Full", "Not charging")


class SysfsPower:
    name = "power-supply"

    def __init__(self, root: Path = Path("/sys")) -> None:
        self._supplies = root / "class/power_supply"
        self._profile = root / "firmware/acpi/platform_profile"

    def read(self) -> Power:
        folders = sorted(self._supplies.glob("*"))
        supplies = [_Supply(folder) for folder in folders if _text(folder / "scope") != "Device"]
        batteries = [each for each in supplies if each.type == "Battery" and each.present]
        charges = [each.charge for each in batteries if each.charge is not None]
        return Power(
            mains=_on_mains(supplies, batteries),
            charge=fmean(charges) if charges else None,
            saver=_text(self._profile) == "low-power",
        )


class _Supply:
    def __init__(self, folder: Path) -> None:
        self.type = _text(folder / "type")
        self.online = _text(folder / "online") in ("1", "2")  # 2: more than one voltage
        self.status = _text(folder / "status")
        self.present = _text(folder / "present") != "0"
        percent = _text(folder / "capacity")
        self.charge = min(int(percent), 100) / 100 if percent.isdecimal() else None


def _on_mains(supplies: list[_Supply], batteries: list[_Supply]) -> bool | None:
    statuses = [battery.status for battery in batteries]
    if any(each.type == "UPS" and each.status == _DISCHARGING for each in supplies):
        return False
    if not batteries or any(each.type == "Mains" and each.online for each in supplies):
        return True
    # A USB port is online too while it feeds another device: the batteries know better.
    lines = [each for each in supplies if each.type not in ("Battery", "UPS")]
    if _DISCHARGING in statuses or (lines and not any(line.online for line in lines)):
        return False
    return True if lines or any(status in _FED for status in statuses) else None


def _text(file: Path) -> str:
    """What stands in it; "" where it is missing or cannot be read, as of a battery that is just taken out."""
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
