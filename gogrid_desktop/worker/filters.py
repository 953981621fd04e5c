"""Which tokens stay candidates: top-k, top-p, min-p, in the order of llama.cpp's default chain, before the temperature.

Over a whole vocabulary a full sort is what costs. A nucleus is looked for among the likeliest first, then above the
weight at which the rest cannot matter: both give exactly what the full sort gives.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gogrid_desktop.worker.likeliest import LOWEST, Ids, Logits, likeliest

#: A nucleus is looked for among so many first.
_NUCLEI = (512, 4096)


def candidates(logits: Logits, top_k: int, top_p: float, min_p: float) -> Ids:
    """Ids that pass all three, ascending; at least one. `logits`: shape (vocabulary,), one of them finite, none NaN.

    `top_k` 0 keeps all; ties at its edge all stay in. `top_p` counts probabilities at temperature 1 of what top-k left.
    """
    ids = likeliest(logits, top_k) if 0 < top_k < logits.size else np.flatnonzero(logits >= LOWEST)
    kept = logits if ids.size == logits.size else logits[ids]
    if top_p < 1:
        inside = _nucleus(kept, top_p)
        ids, kept = ids[inside], kept[inside]
    if min_p > 0:
        ids = ids[kept >= kept.max() + np.log(min_p)]
    return ids


def _nucleus(kept: Logits, top_p: float) -> NDArray[np.intp]:
    """Indices, ascending, of the fewest most likely whose probabilities sum to `top_p` or more."""
    weights = np.exp(kept - kept.max())
    total = weights.sum(dtype=np.float64)
    for among in _prefixes(kept, weights, (1 - top_p) * total):
        order = among[np.argsort(-kept[among], kind="stable")]
        sums = np.cumsum(weights[order], dtype=np.float64)
        if sums[-1] >= top_p * total:
            return np.sort(order[: int(np.searchsorted(sums, top_p * total)) + 1])
    return np.arange(kept.size)  # by rounding: top_p is 1 but for its last bits


def _prefixes(kept: Logits, weights: NDArray[np.float32], may_miss: float) -> Iterator[NDArray[np.intp]]:
    """Indices of more and more of the most likely, without order; at last of all that together matter."""
    for count in _NUCLEI:
        if count < kept.size:
            yield likeliest(kept, count)
    # All weights under the cut together are less than half of what may be left out.
    yield np.flatnonzero(weights >= may_miss / (2 * kept.size))
