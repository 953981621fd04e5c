"""Drawing a token so that the draw depends on seed, choice and position alone.

There is no random state to carry: the noise of a candidate is a hash of (seed, choice, position, token id), and the
candidate with the highest `logit / temperature + Gumbel noise` wins, which draws from the softmax exactly (Gumbel-max).
A job that moves to another node goes on with the same draws, and a logit that differs in its last bits changes the
choice only where two candidates are nearly equal.

The filters run in the order of llama.cpp's default chain: top-k, top-p, min-p, then temperature.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gogrid_desktop.protocol.grid import SamplingParams

Logits = NDArray[np.float32]
Ids = NDArray[np.intp]

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15


class BadLogits(ValueError):
    """The model gave no finite logit to choose from."""


def draw(logits: Logits, params: SamplingParams, position: int) -> int:
    """The token id at `position` (index among the generated tokens). `logits`: shape (vocabulary,).

    Raises BadLogits when no logit is finite.
    """
    best = int(np.argmax(logits))
    if not np.isfinite(logits[best]):
        raise BadLogits(f"logit {logits[best]} at token {best}")
    if params.temperature == 0:
        return best
    ids = candidates(logits, params)
    with np.errstate(over="ignore"):  # near temperature 0 all but the best go to -inf
        scores = (logits[ids].astype(np.float64) - logits[best]) / params.temperature
    return int(ids[np.argmax(scores + gumbel(params.seed, params.choice, position, ids))])


def candidates(logits: Logits, params: SamplingParams) -> Ids:
    """Ids that pass top-k, top-p and min-p, ascending; at least one. Ties at the edge of top-k all stay in."""
    k = params.top_k
    if 0 < k < logits.size:
        kth = np.partition(logits, logits.size - k)[logits.size - k]
        ids = np.flatnonzero(logits >= kth)
    else:
        ids = np.flatnonzero(logits > -np.inf)
    if params.top_p < 1:
        ids = _nucleus(logits, ids, params.top_p)
    if params.min_p > 0:
        kept = logits[ids]
        ids = ids[kept >= kept.max() + np.log(params.min_p)]
    return ids


def _nucleus(logits: Logits, ids: Ids, top_p: float) -> Ids:
    """The fewest most likely ids whose probabilities, at temperature 1, sum to `top_p` or more."""
    kept = logits[ids].astype(np.float64)
    order = np.argsort(-kept, kind="stable")
    weights = np.exp(kept[order] - kept[order[0]])
    reached = np.cumsum(weights) >= top_p * weights.sum()
    return np.sort(ids[order[: int(np.argmax(reached)) + 1]])


def gumbel(seed: int, choice: int, position: int, ids: Ids) -> NDArray[np.float64]:
    """Standard Gumbel noise for each token id, a pure function of its arguments."""
    key = _mix(_mix(_mix(seed) ^ choice) ^ position)
    with np.errstate(over="ignore"):
        x = np.uint64(key) + ids.astype(np.uint64) * np.uint64(_GOLDEN)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    uniform = ((x >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.asarray(-np.log(-np.log(uniform)))


def _mix(x: int) -> int:
    """One step of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""
    x = (x + _GOLDEN) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)
