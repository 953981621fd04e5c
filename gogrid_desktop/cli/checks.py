"""What `gogrid doctor` finds, one line each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"  # without it nothing is shared


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, what was found, what to do."""

    name: str
    grade: Grade
    found: str
    remedy: str = ""
