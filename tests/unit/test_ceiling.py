"""What an administrator allows: read when it changes; what cannot be understood allows nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gogrid_desktop.config.ceiling import CeilingFile
from gogrid_desktop.core.activity import Ceiling
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Profile


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ceiling.toml"


def test_without_a_file_nothing_is_limited(file: Path) -> None:
    assert CeilingFile(file).read() == Ceiling()


def test_a_profile_is_a_ceiling(file: Path) -> None:
    file.write_text('at_most = "conservative"\n')
    ceiling = CeilingFile(file).read()
    assert (ceiling.profile, ceiling.limits) == (Profile.CONSERVATIVE, None)
    assert ceiling.sentence == "the administrator of this computer allows conservative"


def test_limits_hold_field_by_field_and_what_is_left_out_limits_nothing(file: Path) -> None:
    file.write_text("[limits]\ncompute_share = 0.4\n")
    limits = CeilingFile(file).read().limits
    assert limits is not None
    most = PROFILE_LIMITS[Profile.AGGRESSIVE]
    assert most.meet(limits).compute_share == 0.4
    assert (most.meet(limits).vram_fraction, most.meet(limits).batch) == (most.vram_fraction, most.batch)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("at_most =", "it is no TOML"),
        ('at_most = "lots"', "at_most = 'lots'"),
        ("most = 1", "most = 1: extra inputs"),
        ("[limits]\nvram_fraction = 3", "limits.vram_fraction = 3: input should be less than or equal to 1"),
        ("[limits]\nbatch = 0", "limits.batch = 0"),
    ],
)
def test_a_file_that_cannot_be_understood_allows_nothing_and_says_why(text: str, why: str, file: Path) -> None:
    file.write_text(text)
    ceiling = CeilingFile(file).read()
    assert ceiling.profile is Profile.PAUSED
    assert str(file) in ceiling.sentence and why in ceiling.sentence


def test_a_change_counts_at_once_and_an_unchanged_file_is_not_read_again(file: Path) -> None:
    reader = CeilingFile(file)
    file.write_text('at_most = "balanced"')
    first = reader.read()
    assert reader.read() is first
    file.write_text('at_most = "paused"')
    os.utime(file, ns=(1, 1))
    assert reader.read().profile is Profile.PAUSED
    file.unlink()
    assert reader.read() == Ceiling()
