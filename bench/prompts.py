"""Prompts that no cache helps with: each differs from every other from its first token on.

The first word is a token of the starter model's own vocabulary, another one for each prompt; a story follows that has
no end yet, so that the model goes on with it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import cache

import llama_cpp

from bench.driver import STARTER

_SILENT = llama_cpp.llama_log_callback(lambda _level, _text, _data: None)
_WORD = re.compile(r"[A-Z][a-z]{3,9}")
_WHO = ("the captain", "a young baker", "the teacher", "my grandmother", "the gardener", "an engineer", "the postman")
_WHAT = (
    "walked along the river",
    "opened the old wooden door",
    "wrote a long letter",
    "counted the boats",
    "lit a lamp",
)
_WHERE = ("in the harbour", "behind the mill", "on the hill above the town", "near the railway", "under the bridge")
_THEN = (
    "and nobody said a word",
    "while the rain went on",
    "because the winter was near",
    "as the bells began to ring",
)


@cache
def _vocabulary() -> llama_cpp.Llama:
    llama_cpp.llama_log_set(_SILENT, None)  # it warns that a model without layers has no context
    return llama_cpp.Llama(STARTER, vocab_only=True, verbose=False)


def count(text: str) -> int:
    """Tokens of the starter model in a text."""
    return len(_vocabulary().tokenize(text.encode(), add_bos=False))


@cache
def _first_words() -> tuple[str, ...]:
    """Capitalised words that are one token each."""
    model = _vocabulary()
    texts = (model.detokenize([i]).decode(errors="replace") for i in range(model.n_vocab()))
    words = sorted({text for text in texts if _WORD.fullmatch(text)})
    random.Random(1).shuffle(words)
    return tuple(words)


def stories(tokens: int) -> Iterator[str]:
    """Prompts of about so many tokens (within one sentence), without end; the same ones in each process."""
    for number, word in enumerate(_first_words()):
        yield _story(random.Random(number), f"{word} was the first word of the story that I was told.", tokens)
    raise RuntimeError("there are no more words to begin with")


def _story(draw: random.Random, text: str, tokens: int) -> str:
    ending = " The next morning"
    while True:
        parts = [draw.choice(choice) for choice in (_WHO, _WHAT, _WHERE, _THEN)]
        longer = f"{text} Then {' '.join(parts)}."
        if text.count(".") > 1 and count(longer + ending) > tokens + 6:
            return text + ending
        text = longer
