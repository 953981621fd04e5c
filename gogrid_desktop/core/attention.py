"""What a person does without touching anything: watching, playing, talking."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attention:
    """None: unknown.

    `inhibitor`: who keeps the screen from going dark, by the name that it gave; empty: nobody. `game_mode`: a game
    asked the system for its best. `call`: what is in use, "microphone" or "camera"; empty: neither.
    """

    inhibitor: str | None = None
    game_mode: bool | None = None
    call: str | None = None
