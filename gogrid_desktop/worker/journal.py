"""A count of what a worker said, kept apart from it for audits: which positions of which job, never a text or an id.

Written only when `GOGRID_WORKER_JOURNAL` names a file. Every line is on its way to the disk before the frame that it
counts leaves the worker, so that the journal knows at least what the agent can have seen, even after a SIGKILL.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = "GOGRID_WORKER_JOURNAL"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """`count` tokens from position `first` on; `count` None: a lease that starts with `first` tokens there already."""

    job: str
    lease: str
    fence: int
    first: int
    count: int | None


class Journal:
    """Appends to the file at `path`; without one it does nothing. Several workers may share a file."""

    def __init__(self, path: str | None) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if path else None

    def started(self, job: str, lease: str, fence: int, resumed_from: int) -> None:
        self._append({"job": job, "lease": lease, "fence": fence, "resumed_from": resumed_from})

    def emitted(self, job: str, lease: str, fence: int, first: int, count: int) -> None:
        if count:
            self._append({"job": job, "lease": lease, "fence": fence, "from": first, "count": count})

    def _append(self, entry: dict[str, str | int]) -> None:
        if self._fd is not None:
            os.write(self._fd, json.dumps(entry).encode() + b"\n")


def read_journal(path: Path) -> list[JournalEntry]:
    """All entries, oldest first; none when the file is not there. A last line that was cut off is left out."""
    if not path.exists():
        return []
    complete = path.read_bytes().rpartition(b"\n")[0]
    entries = [json.loads(line) for line in complete.splitlines()]
    return [
        JournalEntry(e["job"], e["lease"], e["fence"], e.get("from", e.get("resumed_from")), e.get("count"))
        for e in entries
    ]
