"""`gogrid record` and `gogrid replay` as commands, in a home of their own and without a display."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gogrid_desktop.cli.recording_file import read, shipped_days
from gogrid_desktop.config.store import SettingsStore
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.paths import paths_below

NO_SCREEN = {"DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_SESSION_TYPE"}


def command(home: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name not in NO_SCREEN}
    return subprocess.Popen(
        [sys.executable, "-m", "gogrid_desktop", *arguments],
        env=environment | {"GOGRID_HOME": str(home), "COLUMNS": "300"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def gogrid(home: Path, *arguments: str) -> tuple[int, str, str]:
    process = command(home, *arguments)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_three_seconds_are_recorded_and_replayed(tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl.gz"
    assert gogrid(tmp_path, "record", str(file), "--for", "3s")[::2] == (0, "")
    seen = read(file)
    assert 3 <= seen.seconds < 10 and seen.note == "" and not seen.header.names
    code, out, err = gogrid(tmp_path, "replay", str(file), "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["seconds"] == seen.seconds
    code, _, err = gogrid(tmp_path, "record", str(file), "--for", "3s")
    assert code == 1 and "exists already" in err
    assert read(file) == seen


def test_ctrl_c_ends_a_recording_in_order(tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    recorder = command(tmp_path, "record", str(file))
    try:
        deadline = time.monotonic() + 30
        while not (file.exists() and file.read_text().count("\n") >= 2):
            assert recorder.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        recorder.send_signal(signal.SIGINT)
        out, err = recorder.communicate(timeout=30)
    finally:
        recorder.kill()
    assert (recorder.returncode, err) == (0, "")
    assert "Recorded" in out
    assert read(file).note == ""


@pytest.mark.parametrize("name", list(shipped_days()))
def test_a_day_that_comes_along_is_replayed_and_drawn(name: str, tmp_path: Path) -> None:
    picture = tmp_path / "day.svg"
    code, out, err = gogrid(tmp_path, "replay", name, "--picture", str(picture))
    assert (code, err) == (0, "")
    assert re.search(r"shared +\d+\.\d GPU-hours of 24\.0 h", out)
    words = [text.text or "" for text in ElementTree.parse(picture).iter("{http://www.w3.org/2000/svg}text")]
    assert any(name in each for each in words)
    assert {profile.word for profile in Profile} | {"asleep", "input", "call", "08:00"} <= set(words)


def test_the_persons_settings_count_unless_the_defaults_are_wanted(tmp_path: Path) -> None:
    SettingsStore(paths_below(tmp_path).settings_file).change({"sharing.at_most": "conservative"})

    def highest(*options: str) -> set[str]:
        code, out, _ = gogrid(tmp_path, "replay", "office", "--json", *options)
        assert code == 0
        return {band[2] for band in json.loads(out)["bands"]}

    assert highest() == {"paused", "conservative"}
    assert highest("--defaults") == {profile.word for profile in Profile}


def test_a_corrupt_recording_ends_with_its_line_and_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    file.write_text(
        '{"gogrid_recording":1,"started":"2026-03-04T08:30:00+01:00","role":"desktop","names":false}\n{"t"\n{"t":1}\n'
    )
    code, _, err = gogrid(tmp_path, "replay", str(file))
    assert code == 1
    assert "line 2: it is no JSON. Remove the line, or record anew." in err
