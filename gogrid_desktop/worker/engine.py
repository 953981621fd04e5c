"""What the batcher asks of a model: the seam between deciding which rows a step has, and computing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]
Floats = NDArray[np.float32]


class Decoded(Enum):
    """How a step went. Only after DONE does anything of it count; after the others `forget` what it began."""

    DONE = "done"
    ABORTED = "aborted"  # stopped on request
    FULL = "full"  # the KV cache has no room for these rows; nothing was computed
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Span:
    """Rows of one sequence in a step: `tokens`, shape (n,), from `position` on. `ask`: the logits after the last."""

    slot: int
    position: int
    tokens: Tokens
    ask: bool


class Aside(Protocol):
    """Reads the rows of one prompt beside the steps. Nothing of it is called while a step runs."""

    def worth(self, position: int, rows: int) -> bool:
        """Whether so many rows from `position` on are better read here."""

    @property
    def ended(self) -> bool:
        """Whether there is nothing to wait for any more."""

    def begin(self, slot: int, position: int, tokens: Tokens) -> None:
        """Read these after what the sequence holds, which are `position` tokens."""

    def end(self) -> int:
        """Stop, and move what was read to its sequence; returns how many tokens that holds now."""


class Engine(Protocol):
    """A model with a KV cache of `total_context` cells for sequences numbered 0..`sequences` - 1.

    `slots`: sequences that may run together. `most_rows`: rows of a step, `embed_rows`: of one that embeds.
    `longest_step_s`: what a step should take at most, None where a running step can be stopped at any moment. `cuts`:
    whether a part of a sequence can be kept or copied (a recurrent state cannot). `pools`: an embedding comes from all
    of its tokens in one step. `aside`: None where prompts are read in the steps alone.
    """

    slots: int
    sequences: int
    total_context: int
    most_rows: int
    embed_rows: int
    longest_step_s: float | None
    cuts: bool
    pools: bool

    @property
    def aside(self) -> Aside | None: ...

    def decode(self, spans: Sequence[Span]) -> Decoded: ...

    def logits(self, index: int) -> Floats:
        """Of the `index`th span that asked, shape (vocabulary,); valid until the next step."""

    def embed(self, span: Span) -> tuple[Decoded, Floats | None]:
        """Compute these rows alone. The vector, shape (width,): of the whole text where the engine pools, else the
        sum over the rows."""

    def forget(self, slot: int, position: int) -> int:
        """Drop what the cache holds of this sequence from `position` on; returns how much it holds now."""

    def copy(self, source: int, target: int, length: int) -> None:
        """Give `target`, which is empty, the first `length` positions of `source`."""

    def ends(self, token: int) -> bool:
        """Whether the token ends the generation."""
