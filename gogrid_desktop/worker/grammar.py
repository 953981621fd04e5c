"""The candidates that a grammar leaves.

The grammar comes first: what it forbids counts as -inf before top-k, top-p, min-p and the draw, so that the draw at a
position stays a function of logits, parameters and the tokens before it. To ask a grammar about a whole vocabulary
takes milliseconds, so it is asked about the likeliest tokens first, and about all only where those do not settle it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gogrid_desktop.worker.filters import candidates
from gogrid_desktop.worker.likeliest import LOWEST, Ids, Logits, likeliest

#: Beyond the likeliest `top_k`, so many are asked about in the first and the second attempt.
_MARGINS = (8, 512)


class Grammar(Protocol):
    """Where a sequence stands in its grammar. An end-of-generation token is permitted where the grammar may end."""

    def permits(self, ids: Ids) -> NDArray[np.bool_]:
        """For each token id whether it may come next."""

    def permitted(self) -> Ids:
        """All token ids that may come next, ascending."""

    def accept(self, token: int) -> None:
        """Take a token that it permits."""

    def close(self) -> None:
        """Give its memory back."""


def permitted_candidates(grammar: Grammar, logits: Logits, top_k: int, top_p: float, min_p: float) -> Ids:
    """Ids that pass grammar and filters, ascending; empty where the grammar permits nothing that the model can say.

    What `filters.candidates` gives when everything that the grammar forbids is -inf.
    """
    if 0 < top_k < logits.size:
        for margin in _MARGINS:
            ids = likeliest(logits, top_k + margin)
            ids = ids[grammar.permits(ids)]
            if ids.size >= top_k:  # all others have lower logits than these
                return _filtered(logits, ids, top_k, top_p, min_p)
    return _filtered(logits, grammar.permitted(), top_k, top_p, min_p)


def _filtered(logits: Logits, ids: Ids, top_k: int, top_p: float, min_p: float) -> Ids:
    kept = logits[ids]
    if not (kept >= LOWEST).any():
        return ids[:0]
    return ids[candidates(kept, top_k, top_p, min_p)]
