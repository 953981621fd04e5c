"""A text on its way to its embedding: read like a prompt, but nothing is drawn.

The vector leaves as the job's text: 32-bit little-endian floats in base64, which is also what the OpenAI API calls
`encoding_format` base64. So it goes the way of every answer: counted, stored, resumed, bounded.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from gogrid_desktop.protocol.grid import FinishReason
from gogrid_desktop.worker.engine import Floats, Tokens
from gogrid_desktop.worker.messages import Emission, Start
from gogrid_desktop.worker.sequence import order_of


class EmbeddingSequence:
    """One embedding job in the batcher; fields as in `JobSequence`. It has no `salt`: its rows serve nobody else."""

    salt = ""
    reused = 0

    def __init__(self, start: Start, text: Sequence[int], arrival: int) -> None:
        job = start.job
        self.lease = start.lease
        self.fence = start.fence
        self.job = job.id
        self.order = order_of(job, arrival)
        self.prompt_tokens = len(text)
        self.tokens: Tokens = np.array(text, dtype=np.int32)
        self.cached = 0
        self.slot = -1
        self.started = False
        self.finish_reason: FinishReason | None = None
        self._sum: Floats | None = None
        self._bytes_reported = job.have.bytes
        self._fresh_text = ""

    @property
    def uncached(self) -> int:
        return self.prompt_tokens - self.cached

    @property
    def cells(self) -> int:
        return self.prompt_tokens

    @property
    def totals(self) -> tuple[int, int]:
        return 0, self._bytes_reported

    def restart(self) -> None:
        """Its place in the cache was taken: it is read from the beginning again."""
        self.cached, self._sum = 0, None

    def add(self, rows: int, vector: Floats) -> None:
        """The vector of the next `rows` tokens: their sum, or that of the whole text from an engine that pools.

        Raises ValueError when it is no direction: zero, or not finite.
        """
        self.cached += rows
        self._sum = vector.astype(np.float32) if self._sum is None else self._sum + vector
        if self.uncached:
            return
        length = float(np.linalg.norm(self._sum.astype(np.float64)))
        if not np.isfinite(length) or length == 0:
            raise ValueError(f"a vector of length {length}")
        encoded = base64.b64encode((self._sum / length).astype("<f4").tobytes()).decode()
        self._fresh_text = encoded[self._bytes_reported :]
        self.finish_reason = FinishReason.STOP

    def take_emission(self) -> Emission | None:
        if not self._fresh_text:
            return None
        emission = Emission(self.lease, 0, self._bytes_reported, text=self._fresh_text)
        self._bytes_reported += len(self._fresh_text)
        self._fresh_text = ""
        return emission

    def close(self) -> None:
        """Nothing to give back."""
