"""What an operator may set for a coordinator, with the bounds that hold for every deployment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: Seconds since the epoch. The database's clock is the grid's only clock.
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class CoordinatorSettings:
    """`data`: folder of the database and the key. `key`: keys for the texts, newest first, instead of the key file.

    `database`: where it is, `postgresql://...`; "" for the file in `data`. `clock`: for tests; else its own.
    `text_kept_s`: how long the text of a finished request stays. `max_body_bytes`: largest body that is read.
    """

    data: Path
    key: str = ""
    database: str = ""
    text_kept_s: float = 600.0
    verdicts_kept_s: float = 86_400.0
    node_known_s: float = 900.0
    reader_grace_s: float = 30.0
    reader_grace_with_key_s: float = 600.0
    max_wait_s: float = 30.0
    max_body_bytes: int = 16 * 2**20
    clock: Clock | None = None

    @property
    def file(self) -> Path:
        """The database where it is a file."""
        return self.data / "grid.sqlite3"

    @property
    def key_file(self) -> Path:
        return self.data / "texts.key"

    @property
    def lock_file(self) -> Path:
        """Held by the one process that serves this folder."""
        return self.data / "serve.lock"
