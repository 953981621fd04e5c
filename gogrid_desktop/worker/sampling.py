"""Drawing a sequence's tokens so that each draw depends on seed, choice, position and the tokens before it alone.

There is no random state to carry (see `gumbel`). A job that moves to another node replays its tokens and goes on with
the same draws, and a logit that differs in its last bits changes the choice only where two candidates are nearly equal.

The order is llama.cpp's: grammar, logit bias, penalties, top-k, top-p, min-p, temperature, draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from gogrid_desktop.core.gbnf import GrammarError
from gogrid_desktop.core.json_schema import SchemaError, grammar_of
from gogrid_desktop.protocol.grid import SamplingParams
from gogrid_desktop.worker.filters import candidates
from gogrid_desktop.worker.grammar import Grammar, permitted_candidates
from gogrid_desktop.worker.gumbel import winner
from gogrid_desktop.worker.likeliest import Logits
from gogrid_desktop.worker.logprobs import Top, log_probabilities
from gogrid_desktop.worker.penalties import Penalties

#: `Drawn.token` where a grammar permits nothing more, not even a token that ends the generation.
NOTHING = -1


class BadLogits(ValueError):
    """The model gave no finite logit to choose from."""


class SamplingRejected(Exception):
    """The request's own fault: `param` names the parameter, `message` says what is wrong with it."""

    code = "invalid_value"

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param
        self.message = message


class Incompatible(Exception):
    """A token that was generated before cannot be replayed here; the message says why."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a loaded model knows of its tokens. `ends`: whether an id ends the generation.

    `grammar` opens a GBNF text and raises GrammarError.
    """

    size: int
    ends: Callable[[int], bool]
    grammar: Callable[[str], Grammar]


@dataclass(frozen=True, slots=True)
class Drawn:
    """`end`: it ends the generation and is no token of the answer.

    `logprob` and `top` (id and log-probability of the likeliest, best first) where they were asked for.
    """

    token: int
    end: bool
    logprob: float | None = None
    top: Top = ()


class Sampler:
    """Of one sequence. `prompt`: its token ids. Raises SamplingRejected. Close it: a grammar holds native memory."""

    def __init__(self, params: SamplingParams, prompt: Sequence[int], vocabulary: Vocabulary) -> None:
        outside = [token for token in params.logit_bias if token >= vocabulary.size]
        if outside:
            message = (
                f"logit_bias = {outside[0]} is not allowed: a token id of this model, 0 to {vocabulary.size - 1}. "
                "Leave that token out."
            )
            raise SamplingRejected("logit_bias", message)
        self._params = params
        self._vocabulary = vocabulary
        self._penalties = Penalties(params, prompt)
        with _rejected(params):
            self._grammar = _open_grammar(params, vocabulary)

    def draw(self, logits: Logits, position: int) -> Drawn:
        """The token at `position` (index among the generated tokens). `logits`, shape (vocabulary,), is only read.

        Does not accept it. Raises BadLogits when no logit is finite, or one is NaN or +inf; SamplingRejected when the
        grammar takes too long.
        """
        best = int(logits.argmax())
        if not math.isfinite(logits[best]):
            raise BadLogits(f"logit {logits[best]} at token {best}")
        if self._params.temperature == 0 and self._grammar is None and not self._penalties.active:
            token = best
        else:
            with _rejected(self._params):
                token = self._choose(self._penalties.apply(logits) if self._penalties.active else logits, position)
        end = token == NOTHING or self._vocabulary.ends(token)
        if self._params.logprobs is None or token == NOTHING:
            return Drawn(token, end)
        return Drawn(token, end, *log_probabilities(logits, token, self._params.logprobs))

    def accept(self, token: int) -> None:
        """The token is the next of the answer, drawn just now or, when a job is resumed, before; not for an end token.

        Raises Incompatible when the token is not in the vocabulary, or the grammar forbids it; SamplingRejected when
        the grammar takes too long.
        """
        if not 0 <= token < self._vocabulary.size:
            raise Incompatible(f"Token {token} is not in the vocabulary of {self._vocabulary.size}.")
        if self._grammar is not None:
            with _rejected(self._params):
                # Trying comes first: llama.cpp ends the process when it is made to accept what its grammar forbids.
                if not self._grammar.permits(np.array([token])).all():
                    raise Incompatible(f"The grammar does not permit token {token} there.")
                self._grammar.accept(token)
        self._penalties.accept(token)

    def close(self) -> None:
        """Give the grammar's memory back; nothing may be drawn afterwards."""
        if self._grammar is not None:
            self._grammar.close()
            self._grammar = None

    def _choose(self, logits: Logits, position: int) -> int:
        params = self._params
        greedy = params.temperature == 0
        filters = (1, 1.0, 0.0) if greedy else (params.top_k, params.top_p, params.min_p)
        if self._grammar is not None:
            ids = permitted_candidates(self._grammar, logits, *filters)
        elif greedy:
            return int(np.argmax(logits))
        else:
            ids = candidates(logits, *filters)
        if not ids.size:
            return NOTHING
        if greedy:
            return int(ids[np.argmax(logits[ids])])
        kept = logits if ids.size == logits.size else logits[ids]
        return winner(kept, ids, params.temperature, params.seed, params.choice, position)


def _open_grammar(params: SamplingParams, vocabulary: Vocabulary) -> Grammar | None:
    if params.json_schema is not None:
        return vocabulary.grammar(grammar_of(params.json_schema))
    return vocabulary.grammar(params.grammar) if params.grammar is not None else None


@contextmanager
def _rejected(params: SamplingParams) -> Iterator[None]:
    try:
        yield
    except (GrammarError, SchemaError) as error:
        param = "grammar" if params.grammar is not None else "response_format"
        raise SamplingRejected(param, str(error)) from error
