"""Sources of power: the real one against trees as the kernel lays them out, the others against faked calls."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from gogrid_desktop.core.power import Power
from gogrid_desktop.system import host
from gogrid_desktop.system.power.linux import SysfsPower
from gogrid_desktop.system.power.macos import Battery, MacPower
from gogrid_desktop.system.power.null import NullPower
from gogrid_desktop.system.power.windows import SystemPowerStatus, WindowsPower

AC_ON, AC_OFF = {"type": "Mains", "online": "1"}, {"type": "Mains", "online": "0"}
USB_ON, USB_OFF = {"type": "USB", "online": "1"}, {"type": "USB", "online": "0"}
MOUSE = {"type": "Battery", "scope": "Device", "status": "Discharging", "capacity": "20"}
UPS = {"type": "UPS", "status": "Full", "capacity": "100"}


def battery(status: str, percent: str = "80", **more: str) -> dict[str, str]:
    return {"type": "Battery", "status": status, "capacity": percent, **more}


def sysfs(root: Path, *supplies: dict[str, str]) -> SysfsPower:
    for number, files in enumerate(supplies):
        folder = root / "class/power_supply" / f"supply{number}"
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(f"{text}\n")
    return SysfsPower(root)


@pytest.mark.parametrize(
    ("supplies", "power"),
    [
        ([], Power(True)),  # a tower, or a container that sees no supply
        ([AC_OFF], Power(True)),  # a laptop whose battery was taken out still runs
        ([MOUSE], Power(True)),
        ([AC_ON, battery("Charging")], Power(True, 0.8)),
        ([AC_ON, battery("Full", "100"), MOUSE], Power(True, 1.0)),
        ([AC_ON, battery("Discharging")], Power(True, 0.8)),  # a weak charger: the charge tells
        ([AC_OFF, battery("Discharging")], Power(False, 0.8)),
        ([AC_OFF, battery("Unknown")], Power(False, 0.8)),
        ([AC_OFF, USB_ON, battery("Charging")], Power(True, 0.8)),
        ([AC_OFF, USB_ON, battery("Discharging")], Power(False, 0.8)),  # the port feeds a telephone
        ([USB_OFF, USB_OFF, battery("Not charging")], Power(False, 0.8)),
        ([battery("Discharging")], Power(False, 0.8)),
        ([battery("Not charging")], Power(True, 0.8)),
        ([battery("Unknown")], Power(None, 0.8)),
        ([{"type": "Battery"}], Power(None)),
        ([AC_OFF, battery("Discharging", present="0")], Power(True)),
        ([AC_OFF, battery("Discharging", "90"), battery("Not charging", "30")], Power(False, 0.6)),
        ([AC_OFF, battery("Discharging", "a lot")], Power(False)),
        ([AC_OFF, battery("Discharging", "103")], Power(False, 1.0)),
        ([UPS], Power(True)),
        ([AC_ON, {**UPS, "status": "Discharging"}], Power(False)),
        ([{}, AC_ON], Power(True)),
    ],
)
def test_linux_reads_what_the_kernel_says(supplies: list[dict[str, str]], power: Power, tmp_path: Path) -> None:
    assert sysfs(tmp_path, *supplies).read() == power


@pytest.mark.parametrize(("profile", "saver"), [("low-power", True), ("balanced", False), ("performance", False)])
def test_linux_battery_saver_is_the_platform_profile(profile: str, saver: bool, tmp_path: Path) -> None:
    (tmp_path / "firmware/acpi").mkdir(parents=True)
    (tmp_path / "firmware/acpi/platform_profile").write_text(f"{profile}\n")
    assert sysfs(tmp_path, AC_ON).read() == Power(True, saver=saver)


def test_a_battery_that_is_taken_out_while_it_is_read_is_no_error(tmp_path: Path) -> None:
    probe = sysfs(tmp_path, AC_ON, battery("Full"))
    for name in ("status", "capacity"):  # reading a folder fails as reading a file of a device that has gone
        (tmp_path / "class/power_supply/supply1" / name).unlink()
        (tmp_path / "class/power_supply/supply1" / name).mkdir()
    assert probe.read() == Power(True)


def windll(*, answers: bool = True, **fields: int) -> SimpleNamespace:
    def get_system_power_status(reference: object) -> int:
        status = reference._obj  # type: ignore[attr-defined]
        assert isinstance(status, SystemPowerStatus)
        for name, value in fields.items():
            setattr(status, name, value)
        return int(answers)

    return SimpleNamespace(kernel32=SimpleNamespace(GetSystemPowerStatus=get_system_power_status))


@pytest.mark.parametrize(
    ("line", "flag", "percent", "system", "power"),
    [
        (1, 128, 255, 0, Power(True)),
        (255, 128, 255, 0, Power(True)),
        (1, 8, 55, 0, Power(True, 0.55)),
        (0, 1, 90, 0, Power(False, 0.9)),
        (0, 4, 3, 1, Power(False, 0.03, saver=True)),
        (255, 255, 255, 0, Power(None)),
        (1, 255, 255, 0, Power(True)),
    ],
)
def test_windows_says_it_in_four_bytes(line: int, flag: int, percent: int, system: int, power: Power) -> None:
    faked = windll(ACLineStatus=line, BatteryFlag=flag, BatteryLifePercent=percent, SystemStatusFlag=system)
    assert WindowsPower(faked).read() == power


def test_windows_that_does_not_answer_is_unknown() -> None:
    assert WindowsPower(windll(answers=False)).read() == Power(None)


@pytest.mark.parametrize(
    ("answer", "power"),
    [
        (None, Power(True)),
        ((54.0, False), Power(False, 0.54)),
        ((100.0, True), Power(True, 1.0)),
        ((float("nan"), None), Power(None)),
    ],
)
def test_macos_goes_by_psutil(answer: tuple[float, bool | None] | None, power: Power) -> None:
    def asked() -> Battery | None:
        return None if answer is None else SimpleNamespace(percent=answer[0], power_plugged=answer[1])

    assert MacPower(asked).read() == power


def test_macos_that_does_not_answer_is_unknown() -> None:
    def asked() -> Battery | None:
        raise OSError("no power sources")

    assert MacPower(asked).read() == Power(None)


def test_where_there_is_no_source_nothing_is_known() -> None:
    assert NullPower().read() == Power(None)


def test_this_system_has_a_source_with_a_name() -> None:
    assert host.power_probe().name
    assert isinstance(host.power_probe().read(), Power)
