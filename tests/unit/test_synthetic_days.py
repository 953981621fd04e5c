"""The days that come along: they are what the script makes, small, and the policy treats them well."""

from __future__ import annotations

import gzip
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from gogrid_desktop.cli.recording_file import read, shipped_days
from gogrid_desktop.core.activity import Preferences
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.recording import decode
from gogrid_desktop.core.scores import judge

SCRIPT = Path(__file__).parents[2] / "scripts" / "synthetic_days.py"
NAMES = ("gamer", "laptop", "night-owl", "office")


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("synthetic_days", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_four_days_come_along() -> None:
    assert tuple(shipped_days()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_day_is_what_the_script_makes_and_is_small(name: str, script: ModuleType) -> None:
    packed = shipped_days()[name].read_bytes()
    assert len(packed) < 100_000
    assert gzip.decompress(packed).decode().splitlines() == list(script.lines(name))


@pytest.mark.parametrize("name", NAMES)
def test_on_a_day_nobody_is_intruded_on_and_much_is_shared(name: str) -> None:
    given, scores = judge(read(shipped_days()[name]), Preferences())
    assert scores.hours == pytest.approx(24.0)
    assert scores.intrusion_s == 0
    assert scores.gpu_hours > 0.3 * (24 - scores.asleep)
    assert {band.profile for band in given} == set(Profile)
    assert scores.busiest_hour <= 12


def test_a_week_goes_from_monday_to_sunday(script: ModuleType) -> None:
    two_days = decode(script.week(seed=7, days=2))
    assert two_days.seconds == 2 * 86400
    assert [two_days.frames[0].activity.weekday, two_days.frames[-2].activity.weekday] == [0, 1]
