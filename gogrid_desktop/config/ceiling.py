"""What an administrator allows on this computer, whoever shares: a file that no user's setting exceeds.

It is TOML in a folder that only an administrator can write to. Every line is optional:

    at_most = "balanced"           # paused, conservative, balanced or aggressive
    [limits]                       # as in sharing.custom
    compute_share = 0.5

A file that cannot be read, or understood, allows nothing until it is mended: it was meant to limit something.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from gogrid_desktop.config.settings import Custom, Section
from gogrid_desktop.core.activity import NO_CEILING, Ceiling
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Profile

FILE = "ceiling.toml"
_MOST = PROFILE_LIMITS[Profile.AGGRESSIVE]


class _Limits(Custom):
    """The same fields as the person's own limits; what is left out limits nothing."""

    compute_share: float = Field(1.0, ge=0, le=1)
    vram_fraction: float = Field(1.0, ge=0, le=1)
    batch: int = Field(_MOST.batch, ge=1, le=64)
    nice: int = Field(_MOST.nice, ge=0, le=19)
    ionice_class: int = Field(_MOST.ionice_class, ge=0, le=3)
    interval_ms: int = Field(_MOST.interval_ms, ge=0, le=3_600_000)


class _File(Section):
    at_most: Literal["paused", "conservative", "balanced", "aggressive"] = "aggressive"
    limits: _Limits | None = None


class CeilingFile:
    """Read again whenever it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at: tuple[int, int] | None = None
        self._ceiling = NO_CEILING

    def read(self) -> Ceiling:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._read_at, self._ceiling = None, NO_CEILING
            return self._ceiling
        except OSError as error:
            return _nothing(self._path, str(error.strerror))
        if self._read_at != (stat.st_mtime_ns, stat.st_size):
            self._read_at, self._ceiling = (stat.st_mtime_ns, stat.st_size), _read(self._path)
        return self._ceiling


def _read(path: Path) -> Ceiling:
    try:
        file = _File.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        return _nothing(path, str(error.strerror))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return _nothing(path, "it is no TOML")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        return _nothing(path, f"{name} = {first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}")
    profile = Profile[file.at_most.upper()]
    limits = None if file.limits is None else file.limits.limits()
    beside = " with limits of its own" if limits is not None else ""
    return Ceiling(profile, f"the administrator of this computer allows {profile.word}{beside}", limits)


def _nothing(path: Path, why: str) -> Ceiling:
    return Ceiling(Profile.PAUSED, f"what the administrator allows cannot be read from {path}: {why}")
