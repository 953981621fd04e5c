"""Learns from the person's own pauses: who pauses twice while the same program is in front may want that always.

Only names of programs are kept, and only of those that were in front at a pause.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from gogrid_desktop.paths import write_private

log = logging.getLogger(__name__)

ENOUGH = 2
#: The least used are forgotten.
MOST = 50


class Suggestions:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._counts = self._remembered()

    def paused(self, program: str) -> None:
        """The person paused while this program was in front; empty: nobody can tell which."""
        if not program:
            return
        self._counts[program] = self._counts.pop(program, 0) + 1
        while len(self._counts) > MOST:
            del self._counts[min(self._counts, key=lambda name: self._counts[name])]
        write_private(self._file, json.dumps(self._counts).encode())

    def sentence(self, known: frozenset[str]) -> str:
        """What may be set, but for the programs `known` to a rule already (in lower case)."""
        for program, count in reversed(self._counts.items()):
            if count >= ENOUGH and program.lower() not in known:
                return (
                    f"You paused {count} times while {program} was in front. Always pause for it:"
                    f" gogrid settings set applications.pause_for {','.join([*sorted(known), program])}"
                )
        return ""

    def _remembered(self) -> dict[str, int]:
        try:
            counts = json.loads(self._file.read_bytes())
            return {str(name): int(count) for name, count in counts.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("what was learned from your pauses cannot be read, and is forgotten: %s", type(error).__name__)
            return {}
