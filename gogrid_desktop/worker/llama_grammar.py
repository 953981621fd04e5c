"""llama.cpp's own grammar sampler behind the `Grammar` protocol.

It tries all readings: a grammar that can be read in many ways at once can keep it busy for very long. A call that took
too long is the last one of that grammar; one that never ends is for whoever watches the worker's progress.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import llama_cpp.llama_cpp as c
import numpy as np
from numpy.typing import NDArray

from gogrid_desktop.core import gbnf
from gogrid_desktop.worker.likeliest import Ids

#: The longest that one question to the grammar may take.
LONGEST_CALL_S = 0.5

_CANDIDATE = np.dtype([("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])
_ASCII = 128
_NONE = -1


class GrammarVocabulary:
    """What grammars need to know of a model's tokens; made once for each model, for the tokens 0 to `size` - 1.

    `vocab`: llama.cpp's; the model must outlive this and every grammar opened here.
    """

    def __init__(self, vocab: Any, size: int) -> None:
        self.vocab = vocab
        texts = [_text(vocab, token) for token in range(size)]
        # A control token has a text for the grammar and none for the reader: what it would say is not what is read.
        mute = c.LLAMA_TOKEN_ATTR_CONTROL | c.LLAMA_TOKEN_ATTR_UNKNOWN
        ends = np.fromiter((c.llama_vocab_is_eog(vocab, token) for token in range(size)), dtype=np.bool_, count=size)
        control = np.fromiter(
            (c.llama_vocab_get_attr(vocab, token) & mute for token in range(size)), dtype=np.int64, count=size
        )
        self.usable = ends | ((control == 0) & np.fromiter(map(bool, texts), dtype=np.bool_, count=size))
        self.ends = np.flatnonzero(ends)
        self.beginnings = [_Beginnings(texts, length) for length in (1, 2)]

    def open(self, text: str) -> LlamaGrammar:
        """Raises GrammarError."""
        gbnf.check(text)
        return LlamaGrammar(self, text)


class _Beginnings:
    """Tokens by their first `length` bytes, where these are ASCII and a token of their own.

    When the grammar forbids that token, it forbids all that begin so. (With other bytes it does not follow: llama.cpp
    refuses some beginnings of characters whose whole it permits.)
    """

    def __init__(self, texts: list[bytes], length: int) -> None:
        tokens: dict[bytes, int] = {}
        for token, text in enumerate(texts):
            if len(text) == length and max(text) < _ASCII:
                tokens.setdefault(text, token)
        self.tokens: Ids = np.fromiter(tokens.values(), dtype=np.intp)
        number = {text: i for i, text in enumerate(tokens)}
        self.of = np.fromiter((number.get(text[:length], _NONE) for text in texts), dtype=np.intp)


class LlamaGrammar:
    """One sequence's place in a grammar. Raises GrammarError where llama.cpp refuses the text, or takes too long."""

    def __init__(self, vocabulary: GrammarVocabulary, text: str) -> None:
        self._vocabulary = vocabulary
        self._sampler = c.llama_sampler_init_grammar(vocabulary.vocab, text.encode(), gbnf.ROOT.encode())
        if not self._sampler:
            raise gbnf.GrammarError("llama.cpp cannot use the grammar; write it in a simpler way.")

    def permits(self, ids: Ids) -> NDArray[np.bool_]:
        """For each token id whether it may come next; an end-of-generation token where the grammar may end."""
        usable = self._vocabulary.usable[ids]
        candidates = np.zeros(ids.size, dtype=_CANDIDATE)
        candidates["id"] = ids
        array = c.llama_token_data_array(
            data=ctypes.cast(candidates.ctypes.data, c.llama_token_data_p), size=ids.size, selected=-1, sorted=False
        )
        with _in_time():
            c.llama_sampler_apply(self._sampler, ctypes.byref(array))
        return np.asarray(usable & (candidates["logit"] == 0))

    def permitted(self) -> Ids:
        """All token ids that may come next, ascending."""
        alive = self._vocabulary.usable.copy()
        for beginnings in self._vocabulary.beginnings:
            tokens = beginnings.tokens
            asked = np.flatnonzero(alive[tokens])
            dead = np.zeros(tokens.size + 1, dtype=np.bool_)  # the last one: without a beginning of its own
            dead[asked[~self.permits(tokens[asked])]] = True
            alive &= ~dead[beginnings.of]
        alive[self._vocabulary.ends] = True
        ids = np.flatnonzero(alive)
        return ids[self.permits(ids)]

    def accept(self, token: int) -> None:
        """Take a token that it permits: llama.cpp ends the process for any other."""
        with _in_time():
            c.llama_sampler_accept(self._sampler, token)

    def close(self) -> None:
        """Give its memory back."""
        if self._sampler:
            c.llama_sampler_free(self._sampler)
        self._sampler = None


@contextmanager
def _in_time() -> Iterator[None]:
    began_s = time.perf_counter()
    yield
    took_s = time.perf_counter() - began_s
    if took_s > LONGEST_CALL_S:
        raise gbnf.GrammarError(
            f"The grammar can be read in too many ways at once: a token took {took_s:.1f} s. Make it less ambiguous."
        )


def _text(vocab: Any, token: int) -> bytes:
    """The bytes that a grammar is asked about."""
    buffer = ctypes.create_string_buffer(64)
    size = c.llama_token_to_piece(vocab, token, buffer, len(buffer), 0, True)
    if size < 0:
        buffer = ctypes.create_string_buffer(-size)
        size = c.llama_token_to_piece(vocab, token, buffer, len(buffer), 0, True)
    return buffer.raw[:size]
