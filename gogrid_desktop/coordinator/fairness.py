"""Where each account's next request begins in the order, so that nobody crowds out the others.

What an account asks for moves its next request back by the seconds that it is expected to take. A replica remembers
what it charged, tells the database once a second, and hears there what others have charged.
"""

from __future__ import annotations

from collections.abc import Mapping

from gogrid_desktop.coordinator.matching import place
from gogrid_desktop.coordinator.store.unsaid import Unsaid
from gogrid_desktop.protocol.grid import Priority


class Fairness:
    def __init__(self, unsaid: Unsaid) -> None:
        self._unsaid = unsaid
        self._next_at: dict[str, float] = {}

    def place(self, account: str, priority: Priority, deadline_s: float, expected_s: float, now: float) -> float:
        """Where a new request stands in the order; what it is expected to take is charged to the account."""
        order_at, self._next_at[account] = place(priority, deadline_s, expected_s, self._next_at.get(account, 0.0), now)
        self._unsaid.charge(account, expected_s)
        return order_at

    def give_back(self, account: str, seconds: float) -> None:
        """What was charged, and turns out to take nobody's time."""
        if seconds:
            self._next_at[account] = self._next_at.get(account, 0.0) - seconds
            self._unsaid.charge(account, -seconds)

    def learn(self, next_at: Mapping[str, float], now: float) -> None:
        """What the database has, for all accounts whose next request begins later than now."""
        charges = self._unsaid.charges
        self._next_at = {account: at + charges.get(account, 0.0) for account, at in next_at.items()}
        for account in charges.keys() - next_at.keys():
            self._next_at[account] = now + charges[account]
