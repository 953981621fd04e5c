"""Which tokens stay candidates: top-k, top-p, min-p, in the order of llama.cpp's default chain, before the temperature.

Over a whole vocabulary a full sort is what costs. The maxima of strided groups give a bound that only few logits reach,
and a nucleus is sorted only above the weight at which the rest cannot matter; both give exactly what the sort gives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gogrid_desktop.worker.gumbel import Ids, Logits

#: Least finite logit: comparing with it keeps what is forbidden (-inf) out.
LOWEST = np.finfo(np.float32).min
_GROUP = 64


def candidates(logits: Logits, top_k: int, top_p: float, min_p: float) -> Ids:
    """Ids that pass all three, ascending; at least one. `logits`: shape (vocabulary,), one of them finite, none NaN.

    `top_k` 0 keeps all; ties at its edge all stay in. `top_p` counts probabilities at temperature 1 of what top-k left.
    """
    ids = likeliest(logits, top_k) if 0 < top_k < logits.size else np.flatnonzero(logits >= LOWEST)
    kept = logits[ids]
    if top_p < 1:
        inside = _nucleus(kept, top_p)
        ids, kept = ids[inside], kept[inside]
    if min_p > 0:
        ids = ids[kept >= kept.max() + np.log(min_p)]
    return ids


def likeliest(logits: Logits, count: int) -> Ids:
    """Ids of the `count` highest logits (1 or more), ascending, with all that tie with the last; never -inf."""
    if count >= logits.size:
        return np.flatnonzero(logits >= LOWEST)
    ids = np.flatnonzero(logits >= max(_reached_by(logits, count), LOWEST))
    kept = logits[ids]
    return ids if ids.size <= count else ids[kept >= _kth(kept, count)]


def _reached_by(logits: Logits, count: int) -> np.float32:
    """A bound that at least `count` logits reach: so many groups have a maximum that does."""
    size = min(_GROUP, logits.size // (4 * count))
    if size < 2:
        return _kth(logits, count)
    groups = logits.size // size
    return _kth(logits[: groups * size].reshape(size, groups).max(axis=0), count)


def _kth(values: Logits, count: int) -> np.float32:
    return np.float32(np.partition(values, values.size - count)[values.size - count])


def _nucleus(kept: Logits, top_p: float) -> NDArray[np.intp]:
    """Indices, ascending, of the fewest most likely whose probabilities sum to `top_p` or more."""
    weights = np.exp(kept.astype(np.float64) - kept.max())
    total = weights.sum()
    # All weights under the cut together are less than half of what may be left out.
    heavy = np.flatnonzero(weights >= (1 - top_p) * total / (2 * kept.size))
    order = heavy[np.argsort(-kept[heavy], kind="stable")]
    sums = np.cumsum(weights[order])
    if sums[-1] < top_p * total:  # by rounding: top_p is 1 but for its last bits
        return np.arange(kept.size)
    return np.sort(order[: int(np.searchsorted(sums, top_p * total)) + 1])
