"""What a sequence's own tokens do to the next logits: logit bias and the three penalties.

The repetition penalty is llama.cpp's: a token that is among the last `penalty_last_n` of prompt and answer has a
positive logit divided and any other multiplied. Frequency and presence penalty are OpenAI's: they count the tokens of
the answer, all of them, and nothing of the prompt. The bias is added first, then comes repetition, then the other two:
the order of llama.cpp's default chain.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np

from gogrid_desktop.protocol.grid import SamplingParams
from gogrid_desktop.worker.likeliest import Ids, Logits


class Penalties:
    """Of one sequence; `prompt`: the token ids of its prompt. All ids, those of the bias too, are in the vocabulary."""

    def __init__(self, params: SamplingParams, prompt: Sequence[int]) -> None:
        self._bias_ids = _ids(params.logit_bias)
        self._bias = np.fromiter(params.logit_bias.values(), dtype=np.float32)
        self._repetition = np.float32(params.repetition_penalty)
        self._frequency, self._presence = params.frequency_penalty, params.presence_penalty
        repeats = params.repetition_penalty != 1
        self._recent = _Recent(params.penalty_last_n, prompt) if repeats and params.penalty_last_n else None
        self._answered: dict[int, int] | None = {} if self._frequency or self._presence else None

    @property
    def active(self) -> bool:
        """Whether `apply` changes anything."""
        return bool(self._bias.size or self._recent or self._answered)

    def accept(self, token: int) -> None:
        """One more token of the answer."""
        if self._answered is not None:
            self._answered[token] = self._answered.get(token, 0) + 1
        if self._recent is not None:
            self._recent.add(token)

    def apply(self, logits: Logits) -> Logits:
        """A changed copy. Shape (vocabulary,)."""
        changed = logits.copy()
        changed[self._bias_ids] += self._bias
        if self._recent is not None:
            ids = self._recent.ids()
            values = changed[ids]
            changed[ids] = np.where(values <= 0, values * self._repetition, values / self._repetition)
        if self._answered:
            counts = np.fromiter(self._answered.values(), dtype=np.float32)
            changed[_ids(self._answered)] -= counts * np.float32(self._frequency) + np.float32(self._presence)
        return changed


class _Recent:
    """Which tokens are among the last `size` (-1: among all)."""

    def __init__(self, size: int, tokens: Sequence[int]) -> None:
        self._window: deque[int] | None = deque() if size > 0 else None
        self._size = size
        self._counts: dict[int, int] = {}
        for token in tokens[-size:] if size > 0 else tokens:
            self.add(token)

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, token: int) -> None:
        self._counts[token] = self._counts.get(token, 0) + 1
        if self._window is None:
            return
        self._window.append(token)
        if len(self._window) > self._size:
            oldest = self._window.popleft()
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]

    def ids(self) -> Ids:
        return _ids(self._counts)


def _ids(tokens: Iterable[int]) -> Ids:
    return np.fromiter(tokens, dtype=np.intp)
