"""What the person said last beside the settings: a pause with an end, "share anyway", "finish, then pause".

It is kept over restarts of the agent, with its ends on the clock on the wall. A clock that is set back must not make a
pause longer: the ends are moved with it.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from gogrid_desktop.core.activity import Preferences
from gogrid_desktop.paths import write_private

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Said:
    """`snooze_until` and `anyway_until` in seconds since the epoch."""

    snooze_until: float | None = None
    until_away: bool = False
    anyway_until: float | None = None
    drain: bool = False


_SAID: TypeAdapter[Said] = TypeAdapter(Said)


class Intent:
    """`said` is what holds now."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.said = self._remembered()

    def say(self, said: Said) -> None:
        if said == self.said:
            return
        self.said = said
        if said == Said():
            self._file.unlink(missing_ok=True)
        else:
            write_private(self._file, _SAID.dump_json(said))

    def expire(self, now: float) -> None:
        """Forget what has ended."""
        said = self.said
        snooze = None if said.snooze_until is None or said.snooze_until <= now else said.snooze_until
        anyway = None if said.anyway_until is None or said.anyway_until <= now else said.anyway_until
        self.say(replace(said, snooze_until=snooze, anyway_until=anyway))

    def move(self, by_s: float) -> None:
        """The clock on the wall was set by so much."""
        ends = {
            name: value + by_s
            for name, value in asdict(self.said).items()
            if name.endswith("_until") and value is not None
        }
        self.say(replace(self.said, **ends))

    def applied(self, preferences: Preferences, now: float, monotonic: float) -> Preferences:
        """With what was said, on the clock that never jumps."""
        said, off = self.said, monotonic - now
        return replace(
            preferences,
            snooze_until=None if said.snooze_until is None else said.snooze_until + off,
            anyway_until=None if said.anyway_until is None else said.anyway_until + off,
            until_away=said.until_away,
            drain=said.drain,
        )

    def _remembered(self) -> Said:
        try:
            return _SAID.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return Said()
        except (OSError, ValidationError) as error:
            log.warning("what was said before the restart cannot be read, and is forgotten: %s", type(error).__name__)
            return Said()
