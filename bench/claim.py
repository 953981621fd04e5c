"""One measured claim, as a line of JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """`peer_value` is the peer's figure on the same work in the same run (None where there is no peer).

    `bound` says in words what was promised, `holds` whether it was kept. The line adds `ratio`, value / peer_value.
    """

    bench: str
    value: float
    unit: str
    bound: str
    holds: bool
    peer: str | None = None
    peer_value: float | None = None

    def line(self) -> str:
        ratio = None if not self.peer_value else round(self.value / self.peer_value, 3)
        return json.dumps(asdict(self) | {"ratio": ratio})


def note(text: str) -> None:
    """What a reader of the figures wants to know beside them; standard output carries claims alone."""
    print(text, file=sys.stderr, flush=True)
