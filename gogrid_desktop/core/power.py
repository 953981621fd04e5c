"""Where the computer's power comes from."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

#: On mains, a battery that lost this much (of 1) within this time does not get enough.
FALL, FALL_WITHIN_S = 0.02, 600.0


@dataclass(frozen=True, slots=True)
class Power:
    """One reading. `mains`: False on battery, also that of a UPS; None unknown; True where there is no battery.

    `charge`: of its batteries together, 0..1; None where there is none, or it is unknown. `saver`: battery saver is
    seen to be on. `falling`: the charge falls although there is mains power, which takes several readings to know.
    """

    mains: bool | None
    charge: float | None = None
    saver: bool = False
    falling: bool = False


class ChargeTrend:
    """Whether the charge falls on mains: by readings of the last ten minutes on mains, in a row."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()  # (when, charge), the charges falling

    def falls(self, now: float, power: Power) -> bool:
        """Take a reading at `now` (monotonic, seconds) and judge it."""
        if not power.mains or power.charge is None:
            self._seen.clear()
            return False
        while self._seen and self._seen[0][0] < now - FALL_WITHIN_S:
            self._seen.popleft()
        while self._seen and self._seen[-1][1] <= power.charge:
            self._seen.pop()
        self._seen.append((now, power.charge))
        return self._seen[0][1] - power.charge >= FALL - 1e-9  # charges are read as whole percents
