"""Log-probabilities of what was drawn and of what was likeliest.

They are the log-softmax of the model's own logits, before bias, penalties, grammar, filters and temperature:
llama.cpp's server reports the same unless `post_sampling_probs` is asked for; OpenAI does not say which its are.
"""

from __future__ import annotations

import numpy as np

from gogrid_desktop.worker.likeliest import Logits, likeliest

#: What OpenAI's API gives for a token that is as good as impossible; JSON has no infinity.
LEAST = -9999.0
_DIGITS = 6

Top = tuple[tuple[int, float], ...]


def log_probabilities(logits: Logits, token: int, count: int) -> tuple[float, Top]:
    """Of `token`, and (id, log-probability) of the `count` likeliest, best first, the lower id first where they tie."""
    best = logits.max()
    log_sum = float(best) + float(np.log(np.exp(logits - best).sum(dtype=np.float64)))
    return _rounded(float(logits[token]) - log_sum), _top(logits, log_sum, count)


def _top(logits: Logits, log_sum: float, count: int) -> Top:
    if not count:
        return ()
    ids = likeliest(logits, count)
    order = ids[np.argsort(-logits[ids], kind="stable")][:count]
    return tuple((int(one), _rounded(float(logits[one]) - log_sum)) for one in order)


def _rounded(value: float) -> float:
    return round(max(value, LEAST), _DIGITS)
