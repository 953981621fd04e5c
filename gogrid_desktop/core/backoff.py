"""How long to wait after a failure: full jitter, so that many nodes that failed together do not come back together.

Source: "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015), the variant "full jitter".
"""

from __future__ import annotations

BASE_S = 1.0
CAP_S = 300.0
#: What lived this long was no failure in a row.
GOOD_S = 120.0


class Backoff:
    """Counts failures in a row and says how long to wait after each."""

    def __init__(self, base_s: float = BASE_S, cap_s: float = CAP_S) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._failures = 0

    def after(self, lived_s: float, jitter01: float, retry_after_s: float | None = None) -> float:
        """Seconds to wait after a failure of something that had worked for `lived_s`.

        `jitter01` is drawn from 0..1 by the caller. A `retry_after_s` asked for by the other side is the least that is
        waited, and no more than the cap.
        """
        if lived_s >= GOOD_S:
            self._failures = 0
        # 2^30 s is past every cap; the bound keeps the power a float.
        ceiling_s = min(self._cap_s, self._base_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        delay_s = jitter01 * ceiling_s
        return delay_s if retry_after_s is None else max(delay_s, min(retry_after_s, self._cap_s))

    def reset(self) -> None:
        """It works again."""
        self._failures = 0
