"""`gogrid settings`: what it prints, what it refuses, and who writes the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner, Result

from gogrid_desktop.cli import settings as command
from gogrid_desktop.cli import settings_writer
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.config.store import SettingsStore
from gogrid_desktop.errors import AgentUnavailable, BadInput, ConfigError, VersionMismatch
from gogrid_desktop.ipc import messages as m
from gogrid_desktop.paths import AppPaths, app_paths, private_dir


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppPaths:
    monkeypatch.setenv("GOGRID_HOME", str(tmp_path))
    return app_paths()


def gogrid(*arguments: str) -> Result:
    return CliRunner().invoke(command.app, arguments, env={"COLUMNS": "200"})


def test_it_shows_every_setting_with_its_value_and_what_it_may_be(paths: AppPaths) -> None:
    shown = gogrid("show")
    assert shown.exit_code == 0
    for name in Settings().flat():
        assert name in shown.stdout
    assert "180" in shown.stdout
    assert "10 to 86400 s" in shown.stdout
    assert not paths.settings_file.exists()


def test_what_an_administrator_allows_is_shown_as_locked(
    paths: AppPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Locked" not in gogrid("show").stdout
    monkeypatch.setattr(command.host, "administrator_folder", lambda: tmp_path)
    (tmp_path / "ceiling.toml").write_text('at_most = "conservative"')
    shown = gogrid("show").stdout
    assert "Locked: the administrator of this computer allows conservative, whatever is set here." in shown


def test_it_shows_all_as_json(paths: AppPaths) -> None:
    SettingsStore(paths.settings_file).change({"presence.away_after_s": 60})
    assert json.loads(gogrid("show", "--json").stdout) == {**Settings().flat(), "presence.away_after_s": 60}


def test_without_an_agent_the_file_is_written(paths: AppPaths) -> None:
    done = gogrid("set", "presence.away_after_s", "60", "sharing.enabled", "no", "worker.gpu_layers", "-1")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "presence.away_after_s = 60",
        "sharing.enabled = false",
        "worker.gpu_layers = -1",
    ]
    assert SettingsStore(paths.settings_file).settings.presence.away_after_s == 60


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["presence.away_after_s", "5"], "presence.away_after_s"),
        (["log.level", "debug", "sharing.custom.nice", "-3"], "sharing.custom.nice"),
        (["presence.away", "60"], "setting"),
    ],
)
def test_a_bad_value_changes_nothing_and_ends_with_2(arguments: list[str], field: str, paths: AppPaths) -> None:
    failed = gogrid("set", *arguments)
    assert isinstance(failed.exception, ConfigError)
    assert (failed.exception.field, failed.exception.exit_code) == (field, 2)
    assert not paths.settings_file.exists()


def test_a_name_without_a_value_is_refused(paths: AppPaths) -> None:
    failed = gogrid("set", "log.level", "debug", "role")
    assert isinstance(failed.exception, BadInput)
    assert "a value after every name" in str(failed.exception)
    assert not paths.settings_file.exists()


class RunningAgent:
    """Stands where the connection to the agent is: keeps what it is told."""

    told: list[m.Command]

    def __init__(self, settings_file: Path) -> None:
        self.told = []
        self.file = settings_file

    def __call__(self, endpoint_file: Path) -> RunningAgent:
        return self

    def __enter__(self) -> RunningAgent:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def call(self, told: m.Command) -> m.Reply:
        self.told.append(told)
        return m.Reply(id=told.id, ok=True, settings={"log": {"level": "debug"}})


def test_a_running_agent_is_asked_and_the_file_is_left_to_it(paths: AppPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = RunningAgent(paths.settings_file)
    monkeypatch.setattr(settings_writer, "LocalClient", agent)
    done = gogrid("set", "log.level", "debug")
    assert done.stdout == "log.level = debug\n"
    assert agent.told == [m.PutSettings(id=1, values={"log.level": "debug"}), m.GetSettings(id=2)]
    assert not paths.settings_file.exists()


def test_an_agent_that_runs_but_does_not_answer_keeps_its_file_to_itself(paths: AppPaths) -> None:
    private_dir(paths.runtime)
    with FileLock(paths.agent_lock):
        failed = gogrid("set", "log.level", "debug")
    assert isinstance(failed.exception, AgentUnavailable)
    assert not paths.settings_file.exists()


def test_an_agent_of_another_version_is_not_written_around(paths: AppPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_version(endpoint_file: Path) -> None:
        raise VersionMismatch("another version", "Restart it.")

    monkeypatch.setattr(settings_writer, "LocalClient", other_version)
    failed = gogrid("set", "log.level", "debug")
    assert isinstance(failed.exception, VersionMismatch)
    assert not paths.settings_file.exists()


def test_a_broken_file_is_told_beside_the_settings(paths: AppPaths) -> None:
    private_dir(paths.config)
    paths.settings_file.write_text("no = = toml")
    shown = gogrid("show")
    assert "settings.toml.broken-1" in shown.stderr
    assert "presence.away_after_s" in shown.stdout
