"""What changes with every call and is told to the database once a second, for all calls together."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Unsaid:
    """Seconds since the epoch: when `nodes` called, when they last `reports`ed, when `readers` read requests, by id.

    `charges`: seconds that accounts have asked for.
    """

    nodes: dict[str, float] = field(default_factory=dict)
    reports: dict[str, float] = field(default_factory=dict)
    readers: dict[str, float] = field(default_factory=dict)
    charges: dict[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.nodes or self.reports or self.readers or self.charges)

    def charge(self, account: str, seconds: float) -> None:
        self.charges[account] = self.charges.get(account, 0.0) + seconds

    def take(self) -> Unsaid:
        """All of it. It counts as said."""
        taken = Unsaid(self.nodes, self.reports, self.readers, self.charges)
        self.nodes, self.reports, self.readers, self.charges = {}, {}, {}, {}
        return taken

    def put_back(self, taken: Unsaid) -> None:
        """The database could not take it."""
        self.nodes = {**taken.nodes, **self.nodes}
        self.reports = {**taken.reports, **self.reports}
        self.readers = {**taken.readers, **self.readers}
        for account, seconds in taken.charges.items():
            self.charge(account, seconds)
