"""The likeliest tokens of a whole vocabulary, without sorting it: the maxima of groups bound what is worth a look."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.intp]
Logits = NDArray[np.float32]

#: Least finite logit: comparing with it keeps what is forbidden (-inf) out.
LOWEST = np.finfo(np.float32).min
_GROUP = 64


def likeliest(logits: Logits, count: int) -> Ids:
    """Ids of the `count` highest logits (1 or more), ascending, with all that tie with the last; never -inf."""
    if count >= logits.size:
        return np.flatnonzero(logits >= LOWEST)
    ids = np.flatnonzero(logits >= max(reached_by(logits, count), LOWEST))
    kept = logits[ids]
    return ids if ids.size <= count else ids[kept >= _kth(kept, count)]


def reached_by(logits: Logits, count: int) -> np.float32:
    """A bound that at least `count` logits reach (and not many more): so many groups have a maximum that does."""
    size = min(_GROUP, logits.size // (4 * count))
    if size < 2:
        return _kth(logits, count)
    groups = logits.size // size
    return _kth(logits[: groups * size].reshape(size, groups).max(axis=0), count)


def _kth(values: Logits, count: int) -> np.float32:
    return np.float32(np.partition(values, values.size - count)[values.size - count])
