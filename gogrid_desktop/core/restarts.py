"""When to try again after a worker died or a model did not load, and when to give up and say so.

A model that keeps failing costs the desktop a start every time. Five failures within ten minutes, with no job finished
between them, end the tries; an hour later, or when something changed that could mend it, they begin anew.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_FAILURES = 5
WITHIN_S = 600.0
AGAIN_S = 3600.0


@dataclass(frozen=True, slots=True)
class Restarts:
    """`failures`: when, since the last success, in seconds of a clock that never goes back; `why`: the last one's."""

    failures: tuple[float, ...] = ()
    why: str = ""
    given_up_at: float | None = None

    def failed(self, now: float, why: str) -> Restarts:
        """One more failure; the last of too many gives up."""
        recent = (*(at for at in self.failures if now - at <= WITHIN_S), now)
        given_up = len(recent) >= MOST_FAILURES
        return Restarts(recent[-MOST_FAILURES:], why, now if given_up else None)

    def worked(self) -> Restarts:
        """A job was finished: what was before counts no more."""
        return Restarts()

    def given_up(self, now: float) -> bool:
        """Whether not to try at `now`."""
        return self.given_up_at is not None and now - self.given_up_at < AGAIN_S

    def sentence(self) -> str:
        """Why no more is tried, and what to do; empty while it is."""
        if self.given_up_at is None:
            return ""
        return (
            f"The model was given up after {MOST_FAILURES} failures within {WITHIN_S / 60:.0f} minutes: {self.why} "
            f"It is tried again in an hour, or when the model settings change."
        )
