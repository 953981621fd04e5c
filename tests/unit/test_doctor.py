"""`gogrid doctor`: what it says of machines of every kind, and whether they can share."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from gogrid_desktop.cli import doctor
from gogrid_desktop.cli.doctor import Check, Grade
from gogrid_desktop.config.store import SettingsStore
from gogrid_desktop.core.idle import Kind
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.errors import SecretStoreLocked, SecretStoreUnavailable
from gogrid_desktop.paths import AppPaths, app_paths
from gogrid_desktop.system.gpu import Gpu, GpuReading

GIB = 2**30
CARD = Gpu(0, "Stand-in 8", "550.00", 8 * GIB, GIB, 7 * GIB, 0.1)
CPU_INFO = "0.3.36\n0\nCPU : SSE3 = 1 | AVX = 1 | OPENMP = 1 | \n"
CUDA_INFO = "0.3.36\n1\nCUDA : ARCHS = 900 | CPU : SSE3 = 1 | OPENMP = 1 | \n"


class Machine:
    """A computer of which a test says what it has; at first it has everything."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gpus = GpuReading((CARD,))
        self.idle_s: float | None = 3.0
        self.tray = "found"
        self.power = Power(True)
        self.screen = Screen(False)
        self.llama = SimpleNamespace(returncode=0, stdout=CUDA_INFO, stderr="")
        self.keyring: Callable[[], str] = lambda: "Test Keyring"
        self.coordinator: str | None = None
        self.disk_free = 100 * GIB
        probe = SimpleNamespace(name="test-idle", kind=Kind.COUNTER, idle_s=lambda: self.idle_s)
        host = SimpleNamespace(
            gpu_probe=lambda: SimpleNamespace(read=lambda: self.gpus),
            idle_probes=lambda: (probe,),
            tray=lambda: self.tray,
            screen_probe=lambda: SimpleNamespace(name="test-screen", read=lambda: self.screen),
            power_probe=lambda: SimpleNamespace(name="test-power", read=lambda: self.power),
        )
        monkeypatch.setattr(doctor, "host", host)
        monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: self.llama)
        monkeypatch.setattr(doctor, "KeyringSecrets", lambda: SimpleNamespace(backend=lambda: self.keyring()))
        monkeypatch.setattr(doctor, "reachable", lambda url: self.coordinator)
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=self.disk_free))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppPaths:
    monkeypatch.setenv("GOGRID_HOME", str(tmp_path))
    paths = app_paths()
    SettingsStore(paths.settings_file).change({"grid.coordinator": "https://grid.example", "grid.node_id": "n1"})
    return paths


def seen(paths: AppPaths, name: str) -> Check:
    (check,) = (check for check in doctor.examine(paths) if check.name == name)
    return check


def test_a_machine_that_has_everything_can_share(machine: Machine, paths: AppPaths) -> None:
    checks = doctor.examine(paths)
    assert [check.name for check in checks] == [
        "settings",
        "python",
        "gpu",
        "inference",
        "memory",
        "disk",
        "idle time",
        "power",
        "screen",
        "keyring",
        "tray",
        "coordinator",
    ]
    assert {check.grade for check in checks} == {Grade.OK}


def raising(error: Exception) -> Callable[[], str]:
    def backend() -> str:
        raise error

    return backend


LOCKED = raising(SecretStoreLocked("It is locked.", "Unlock it."))
NO_KEYRING = raising(SecretStoreUnavailable("No keyring.", "--allow-plaintext-token"))


@pytest.mark.parametrize(
    ("changes", "name", "grade", "words"),
    [
        ({"gpus": GpuReading(problem="No driver.")}, "gpu", Grade.WARNING, "No driver. GoGrid shares the processor"),
        ({"llama": SimpleNamespace(returncode=0, stdout=CPU_INFO, stderr="")}, "inference", Grade.WARNING, "with CUDA"),
        (
            {"llama": SimpleNamespace(returncode=1, stdout="", stderr="a\nModuleNotFoundError: llama_cpp\n")},
            "inference",
            Grade.MISSING,
            "ModuleNotFoundError: llama_cpp. Install it with: pip install",
        ),
        ({"llama": SimpleNamespace(returncode=-6, stdout="", stderr="")}, "inference", Grade.MISSING, "exit code -6"),
        ({"idle_s": None}, "idle time", Grade.WARNING, "you count as present"),
        ({"power": Power(None)}, "power", Grade.MISSING, "gogrid settings set power.pause_on_battery false"),
        ({"power": Power(False, 0.31)}, "power", Grade.WARNING, "battery, charge 31 %: sharing is paused. Plug it in"),
        ({"power": Power(True, 0.9, saver=True)}, "power", Grade.WARNING, "saver on: sharing is paused."),
        ({"screen": Screen(None)}, "screen", Grade.WARNING, "you count as present all the time"),
        ({"screen": Screen(False)}, "screen", Grade.OK, "nothing fills it (test-screen)"),
        ({"screen": Screen(True, "mpv")}, "screen", Grade.OK, "mpv fills it (test-screen)"),
        ({"power": Power(True, 0.9)}, "power", Grade.OK, "mains, charge 90 % (test-power)"),
        ({"keyring": NO_KEYRING}, "keyring", Grade.MISSING, "No keyring. --allow-plaintext-token"),
        ({"keyring": LOCKED}, "keyring", Grade.MISSING, "It is locked. Unlock it."),
        ({"tray": "absent"}, "tray", Grade.WARNING, "shows no tray"),
        ({"tray": "no desktop"}, "tray", Grade.WARNING, "gogrid agent run"),
        ({"tray": "unknown"}, "tray", Grade.WARNING, "unknown"),
        ({"coordinator": "It does not answer."}, "coordinator", Grade.MISSING, "It does not answer. Check the address"),
        ({"disk_free": GIB}, "disk", Grade.WARNING, "1.0 GiB free"),
        ({"disk_free": 1000}, "disk", Grade.MISSING, "Free some space"),
        ({"gpus": GpuReading((Gpu(0, "Full", "1", GIB, GIB, 0, None),))}, "memory", Grade.WARNING, "no model fits"),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(
    changes: dict[str, object], name: str, grade: Grade, words: str, machine: Machine, paths: AppPaths
) -> None:
    for attribute, value in changes.items():
        setattr(machine, attribute, value)
    check = seen(paths, name)
    assert check.grade is grade
    assert words in f"{check.found} {check.remedy}"


def test_without_a_gpu_the_processor_and_its_memory_do(machine: Machine, paths: AppPaths) -> None:
    machine.gpus = GpuReading(problem="No driver.")
    machine.llama = SimpleNamespace(returncode=0, stdout=CPU_INFO, stderr="")
    assert seen(paths, "inference") == Check("inference", Grade.OK, "llama-cpp-python 0.3.36 with CPU")
    assert "there is no GPU" in seen(paths, "memory").found


def test_a_llama_that_hangs_is_given_up(machine: Machine, paths: AppPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("python", 30.0)

    monkeypatch.setattr(doctor.subprocess, "run", hang)
    assert "does not start within 30 s" in seen(paths, "inference").found


def test_a_server_needs_no_idle_time(machine: Machine, paths: AppPaths) -> None:
    machine.idle_s = None
    SettingsStore(paths.settings_file).change({"role": "server"})
    assert seen(paths, "idle time").grade is Grade.OK


def test_a_file_for_the_token_that_was_allowed_is_a_warning_only(machine: Machine, paths: AppPaths) -> None:
    machine.keyring = NO_KEYRING
    SettingsStore(paths.settings_file).change({"secrets.allow_plaintext": True})
    assert seen(paths, "keyring").grade is Grade.WARNING


def test_who_has_joined_no_grid_is_told_how(machine: Machine, paths: AppPaths) -> None:
    SettingsStore(paths.settings_file).change({"grid.coordinator": ""})
    check = seen(paths, "coordinator")
    assert (check.grade, check.remedy) == (Grade.MISSING, "Join one with: gogrid join COORDINATOR INVITE")


def test_a_settings_file_that_cannot_be_taken_is_a_line_and_not_the_end(machine: Machine, paths: AppPaths) -> None:
    paths.settings_file.write_text("version = 99")
    assert seen(paths, "settings").grade is Grade.MISSING
    paths.settings_file.write_text("broken = =")
    assert seen(paths, "settings").grade is Grade.WARNING


def test_a_check_that_fails_is_a_line_and_not_the_end(machine: Machine, paths: AppPaths) -> None:
    machine.keyring = raising(ZeroDivisionError("?"))
    check = seen(paths, "keyring")
    assert (check.grade, check.found) == (Grade.WARNING, "could not be checked (ZeroDivisionError).")


def test_the_backends_are_read_from_what_llama_says_of_itself() -> None:
    assert doctor.backends("CUDA : ARCHS = 900 | USE_GRAPHS = 1 | CPU : SSE3 = 1 | AVX = 1 | ") == ["CUDA", "CPU"]
    assert doctor.backends("") == []


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(doctor.doctor)
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "60"})
    return result.exit_code, result.stdout


def test_it_prints_one_line_each_and_ends_with_0_where_the_machine_can_share(machine: Machine, paths: AppPaths) -> None:
    machine.tray = "absent"
    code, text = run()
    lines = text.splitlines()
    assert code == 0
    assert len(lines) == 12
    assert lines[2] == "ok      gpu         Stand-in 8 (8.0 GiB), driver 550.00"
    assert lines[10] == "warning tray        this desktop shows no tray. A small window stands in for the icon."


def test_it_ends_with_1_where_something_required_is_missing(machine: Machine, paths: AppPaths) -> None:
    machine.coordinator = "It does not answer."
    code, text = run("--json")
    told = json.loads(text)
    assert code == 1
    assert told["can_share"] is False
    assert {"name", "grade", "found", "remedy"} == set(told["checks"][0])
