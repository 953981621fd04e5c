"""`gogrid doctor`: what it says of machines of every kind, and whether they can share."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from gogrid_desktop.cli import doctor, doctor_signals
from gogrid_desktop.cli.doctor import Check, Grade
from gogrid_desktop.config.store import SettingsStore
from gogrid_desktop.core.attention import Attention
from gogrid_desktop.core.idle import Kind
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.core.session import Session
from gogrid_desktop.errors import SecretStoreLocked, SecretStoreUnavailable
from gogrid_desktop.paths import AppPaths, app_paths
from gogrid_desktop.system.gpu import Gpu, GpuReading

GIB = 2**30
CARD = Gpu(0, "Stand-in 8", "550.00", 8 * GIB, GIB, 7 * GIB, 0.1, "GPU-1")
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
        self.session = Session(active=True)
        self.attention = Attention("", False, "")
        self.metered: bool | None = False
        self.administrator = Path("/nowhere")
        probe = SimpleNamespace(name="test-idle", kind=Kind.COUNTER, idle_s=lambda: self.idle_s, close=lambda: None)
        host = SimpleNamespace(
            gpu_probe=lambda patience_s: SimpleNamespace(read=lambda: self.gpus, close=lambda: None),
            idle_probes=lambda: (probe,),
            tray=lambda: self.tray,
            screen_probe=lambda: SimpleNamespace(name="test-screen", read=lambda: self.screen),
            power_probe=lambda: SimpleNamespace(name="test-power", read=lambda: self.power),
            session_probe=lambda: SimpleNamespace(name="test-session", read=lambda: self.session, close=lambda: None),
            attention_probe=lambda: SimpleNamespace(read=lambda: self.attention),
            network_probe=lambda: SimpleNamespace(metered=lambda: self.metered),
            administrator_folder=lambda: self.administrator,
        )
        monkeypatch.setattr(doctor, "host", host)
        monkeypatch.setattr(doctor_signals, "host", host)
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
        "session",
        "power",
        "screen",
        "attention",
        "network",
        "programs",
        "limits",
        "agent",
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
        ({"session": Session()}, "session", Grade.WARNING, "you count as present all the time"),
        ({"session": Session(active=False)}, "session", Grade.WARNING, "another user is at the computer"),
        (
            {"session": Session(active=True, locked=True, remote=True)},
            "session",
            Grade.OK,
            "yours, locked, used from afar",
        ),
        ({"session": Session(nobody=True)}, "session", Grade.OK, "nobody is logged in"),
        ({"attention": Attention()}, "attention", Grade.OK, "films and games and calls cannot"),
        ({"attention": Attention("mpv", False, "camera")}, "attention", Grade.OK, "mpv keeps the screen awake; camera"),
        ({"metered": True}, "network", Grade.WARNING, "metered: no new work. To share all the same"),
        ({"metered": None}, "network", Grade.OK, "it counts as unmetered"),
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
        ({"gpus": GpuReading((replace(CARD, vram_free_bytes=0),))}, "memory", Grade.WARNING, "no model fits"),
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
    assert "no GPU computes" in seen(paths, "memory").found


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
    assert len(lines) == 18
    assert lines[2] == "ok      gpu         Stand-in 8 (8.0 GiB), driver 550.00"
    assert lines[16] == "warning tray        this desktop shows no tray. A small window stands in for the icon."


def test_it_ends_with_1_where_something_required_is_missing(machine: Machine, paths: AppPaths) -> None:
    machine.coordinator = "It does not answer."
    code, text = run("--json")
    told = json.loads(text)
    assert code == 1
    assert told["can_share"] is False
    assert {"name", "grade", "found", "remedy"} == set(told["checks"][0])


def test_a_rule_for_a_program_that_is_nowhere_is_named(machine: Machine, paths: AppPaths) -> None:
    SettingsStore(paths.settings_file).change({"applications.pause_for": "no-such-program"})
    check = seen(paths, "programs")
    assert check.grade is Grade.WARNING
    assert "nothing called no-such-program is installed or runs" in check.found


def test_what_an_administrator_allows_is_told_and_a_broken_file_allows_nothing(
    machine: Machine, paths: AppPaths, tmp_path: Path
) -> None:
    machine.administrator = tmp_path
    (tmp_path / "ceiling.toml").write_text('at_most = "balanced"')
    assert seen(paths, "limits").found == "the administrator of this computer allows balanced"
    (tmp_path / "ceiling.toml").write_text('at_most = "lots"')
    assert seen(paths, "limits").grade is Grade.MISSING
