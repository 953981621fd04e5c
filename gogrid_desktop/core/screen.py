"""What fills the screen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Screen:
    """`fullscreen`: whether a program fills a screen; None unknown. `program`: its executable, "" unknown."""

    fullscreen: bool | None
    program: str = ""
