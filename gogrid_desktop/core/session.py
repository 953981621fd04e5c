"""Whose session the screen shows, as far as the system tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """None: unknown.

    `active`: ours is the one that the screen shows; False: another user's is. `locked`: ours is locked. `nobody`: the
    system knows that nobody at all is logged in at this screen. `remote`: somebody works here, or watches, from afar.
    `leaving`: what the system has announced, "suspend" or "shutdown", otherwise empty.
    """

    active: bool | None = None
    locked: bool | None = None
    nobody: bool | None = None
    remote: bool | None = None
    leaving: str = ""
