"""`gogrid schedule`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner, Result

from gogrid_desktop.cli import app, schedule
from gogrid_desktop.cli.schedule import next_lines
from gogrid_desktop.config.store import SettingsStore
from gogrid_desktop.core.civil import CivilTime
from gogrid_desktop.core.windows import DEFAULT_GRID, DEFAULT_ROWS, Shift, parse_grid
from gogrid_desktop.errors import AgentUnavailable, BadInput
from gogrid_desktop.paths import AppPaths, app_paths, private_dir

HOUR = 3600.0
OFFICE = "A" * 7 + "BB" + "C" * 8 + "B" * 5 + "AA"
SATURDAY, SUNDAY = 5, 6


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppPaths:
    monkeypatch.setenv("GOGRID_HOME", str(tmp_path))
    return app_paths()


def gogrid(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(schedule.app, arguments, env={"COLUMNS": "100", **environment})


def stored(paths: AppPaths) -> tuple[str, ...]:
    return SettingsStore(paths.settings_file).settings.schedule.grid


# --- show ------------------------------------------------------------------------------------------------------------


def test_it_shows_the_week_its_spans_and_the_hours_to_come(paths: AppPaths) -> None:
    SettingsStore(paths.settings_file).change({"schedule.grid": [OFFICE] * 5 + list(DEFAULT_ROWS[:2])})
    shown = gogrid("show")
    assert shown.exit_code == 0
    lines = [line.strip() for line in shown.stdout.splitlines()]
    assert f"Mon  {' '.join(OFFICE)}" in lines
    assert f"Sun  {' '.join(DEFAULT_ROWS[0])}" in lines
    at = lines.index("mon-fri 09:00-17:00 conservative")
    assert lines[at + 1 : at + 3] == ["daily 22:00-07:00 aggressive", "the rest balanced"]
    following = lines[lines.index("The next 24 hours:") + 1]
    assert re.fullmatch(r"now until .* (conservative|balanced|aggressive), .*", following)
    assert "server" not in shown.stdout


def test_on_a_terminal_the_hours_have_colours_and_this_one_stands_out(paths: AppPaths) -> None:
    assert "\x1b[" not in gogrid("show").stdout
    coloured = gogrid("show", FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="").stdout
    assert "\x1b[32m" in coloured
    assert len(re.findall(r"\x1b\[7;3[26]m[AB]", coloured)) == 1


def test_a_server_is_told_that_the_schedule_does_not_count(paths: AppPaths) -> None:
    SettingsStore(paths.settings_file).change({"role": "server"})
    assert "the schedule does not count" in gogrid("show").stdout
    assert "the schedule does not count" in gogrid("reset").stdout


def test_a_schedule_that_cannot_be_read_is_told_beside(paths: AppPaths) -> None:
    private_dir(paths.config)
    paths.settings_file.write_text('[schedule]\ngrid = ["A"]\n')
    shown = gogrid("show")
    assert "schedule.grid" in shown.stderr
    assert "daily 22:00-07:00 aggressive" in shown.stdout


@pytest.mark.parametrize(
    ("now", "lines"),
    [
        (
            CivilTime(SATURDAY, 21.25 * HOUR),
            [
                "now until 22:00 balanced, 45 min",
                "from 22:00 until Sunday 07:00 aggressive, 9 h",
                "from Sunday 07:00 until 21:15 balanced, 14 h 15 min",
            ],
        ),
        (
            CivilTime(SATURDAY, 23.5 * HOUR, Shift(2.5 * HOUR, HOUR)),
            [
                "now until Sunday 07:00 aggressive, 6 h 30 min (the clocks go forward by 1 h at 02:00)",
                "from Sunday 07:00 until 22:00 balanced, 15 h",
                "from Sunday 22:00 until Monday 00:30 aggressive, 2 h 30 min",
            ],
        ),
        (
            CivilTime(SATURDAY, 21.25 * HOUR, Shift(5.75 * HOUR, -HOUR)),
            [
                "now until 22:00 balanced, 45 min",
                "from 22:00 until Sunday 07:00 aggressive, 10 h (the clocks go back by 1 h at 03:00)",
                "from Sunday 07:00 until 20:15 balanced, 13 h 15 min",
            ],
        ),
        (
            CivilTime(SUNDAY, 12 * HOUR, Shift(30 * HOUR, -HOUR / 2)),
            [
                "now until 22:00 balanced, 10 h",
                "from 22:00 until Monday 07:00 aggressive, 9 h",
                "from Monday 07:00 until 12:00 balanced, 5 h",
            ],
        ),
    ],
)
def test_the_hours_to_come_are_said_with_the_time_they_really_last(now: CivilTime, lines: list[str]) -> None:
    assert next_lines(DEFAULT_GRID, now) == lines


def test_a_week_that_is_all_the_same_is_one_line() -> None:
    same = parse_grid(["C" * 24] * 7)
    assert next_lines(same, CivilTime(SUNDAY, 9.5 * HOUR)) == ["now until Monday 09:30 conservative, 24 h"]


# --- set and reset ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["mon-fri 9-17 conservative", "daily 22-7 aggressive"],
        ["mon-fri", "9-17", "conservative", "daily", "22-7", "aggressive"],
    ],
)
def test_spans_become_the_setting_quoted_or_not(arguments: list[str], paths: AppPaths) -> None:
    done = gogrid("set", *arguments)
    assert done.exit_code == 0
    assert stored(paths) == (OFFICE,) * 5 + DEFAULT_ROWS[:2]
    assert done.stdout.splitlines() == [
        "mon-fri 09:00-17:00 conservative",
        "daily 22:00-07:00 aggressive",
        "the rest balanced",
    ]


def test_what_no_span_covers_is_the_rest(paths: AppPaths) -> None:
    done = gogrid("set", "--rest", "Paused", "weekend", "0-24", "aggressive")
    assert stored(paths) == ("P" * 24,) * 5 + ("A" * 24,) * 2
    assert done.stdout.splitlines() == ["weekend 00:00-24:00 aggressive", "the rest paused"]
    assert gogrid("set", "daily", "0-24", "balanced").stdout.splitlines() == ["all week balanced"]


def test_reset_is_what_every_computer_begins_with(paths: AppPaths) -> None:
    gogrid("set", "daily", "0-24", "paused")
    assert gogrid("reset").stdout.splitlines() == ["daily 22:00-07:00 aggressive", "the rest balanced"]
    assert stored(paths) == DEFAULT_ROWS


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["someday 9-17 paused"], "days", "someday"),
        (["mon 09:30-17:00 paused"], "hours", "09:30-17:00"),
        (["mon", "9-17", "paused", "tue", "9-9", "paused"], "hours", "9-9"),
        (["mon-fri", "9-17", "daily", "22-7", "aggressive"], "profile", "daily"),
        (["mon-fri", "9-17"], "span", "mon-fri 9-17"),
        (["mon 9-17 paused", "mon 16-18 paused"], "span", "mon 16-18 paused"),
        (["--rest", "most", "mon 9-17 paused"], "--rest", "most"),
    ],
)
def test_what_cannot_be_a_schedule_changes_nothing_and_ends_with_2(
    arguments: list[str], field: str, value: str, paths: AppPaths
) -> None:
    failed = gogrid("set", *arguments)
    assert isinstance(failed.exception, BadInput)
    assert (failed.exception.field, failed.exception.value, failed.exception.exit_code) == (field, value, 2)
    assert failed.exception.remedy
    assert not paths.settings_file.exists()


def test_without_a_span_nothing_is_written(paths: AppPaths) -> None:
    assert gogrid("set").exit_code == 2
    assert not paths.settings_file.exists()


def test_an_agent_that_runs_but_does_not_answer_keeps_its_file_to_itself(paths: AppPaths) -> None:
    private_dir(paths.runtime)
    with FileLock(paths.agent_lock):
        failed = gogrid("reset")
    assert isinstance(failed.exception, AgentUnavailable)
    assert not paths.settings_file.exists()


def test_it_is_a_command_of_gogrid(paths: AppPaths) -> None:
    assert CliRunner().invoke(app.app, ["schedule", "reset"]).exit_code == 0
    assert stored(paths) == DEFAULT_ROWS
