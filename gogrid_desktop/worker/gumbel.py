"""Noise for draws without random state, and the candidate that wins with it.

The noise of a candidate is a hash of (seed, choice, position, token id) as standard Gumbel noise; the candidate with
the highest `logit / temperature + noise` is a draw from the softmax (the Gumbel-max trick). Over a whole vocabulary
most candidates cannot win: their hash is compared with a bound, and logarithms are taken of the few that may.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gogrid_desktop.worker.likeliest import Ids, Logits, reached_by

Hashes = NDArray[np.uint64]

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15

#: Fewer candidates than this are compared one by one.
_FEW = 1024
#: Among about so many of the likeliest is most often the winner; the others must have a rare noise to win.
_NEAR = 64
#: The bound on the hash is this much too low, in units of the last bit of the uniform number: far more than rounding.
_SLACK = 4096
#: No noise is lower: the lowest uniform number is 2**-54.
_LEAST_NOISE = -3.7


def gumbel(seed: int, choice: int, position: int, ids: Ids) -> NDArray[np.float64]:
    """Standard Gumbel noise for each token id, a pure function of its arguments."""
    return _noise(_hashes(seed, choice, position, ids))


def winner(logits: Logits, ids: Ids, temperature: float, seed: int, choice: int, position: int) -> int:
    """Of the candidates `ids` (ascending, logits `logits`, both of one shape) the id that is drawn.

    `temperature` is positive.
    """
    best = logits.max()
    hashes = _hashes(seed, choice, position, ids)
    if ids.size > _FEW:
        floor = reached_by(logits, _NEAR)
        near = logits >= floor
        score = (_scores(logits[near], best, temperature) + _noise(hashes[near])).max()
        # What lies under the floor needs a noise that makes up for it.
        may_win = near | (hashes >= _least_hash(float(score) - float(_scores(floor, best, temperature))))
        logits, ids, hashes = logits[may_win], ids[may_win], hashes[may_win]
    return int(ids[np.argmax(_scores(logits, best, temperature) + _noise(hashes))])


def _scores(logits: Logits | np.float32, best: np.float32, temperature: float) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):  # near temperature 0 all but the best go to -inf
        return np.asarray((logits.astype(np.float64) - best) / temperature)


def _least_hash(noise: float) -> np.uint64:
    """No smaller hash gives this noise or more."""
    bits = int(math.exp(-math.exp(-noise)) * 2.0**53) - _SLACK if noise > _LEAST_NOISE else 0
    return np.uint64(max(0, bits) << 11)


def _noise(hashes: Hashes) -> NDArray[np.float64]:
    uniform = ((hashes >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.asarray(-np.log(-np.log(uniform)))


def _hashes(seed: int, choice: int, position: int, ids: Ids) -> Hashes:
    key = _mix(_mix(_mix(seed) ^ choice) ^ position)
    with np.errstate(over="ignore"):
        x = ids.astype(np.uint64)
        x *= np.uint64(_GOLDEN)
        x += np.uint64(key)
        x ^= x >> np.uint64(30)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(27)
        x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def _mix(x: int) -> int:
    """One step of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""
    x = (x + _GOLDEN) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)
