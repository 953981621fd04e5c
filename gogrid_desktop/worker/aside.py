"""Reads one long prompt beside the steps: with half of the threads, in a context of its own, in large pieces.

On a CPU small products are dear: a prompt of which each step takes a few rows costs more than twice what large pieces
cost. So while others wait for tokens a long prompt is read here, and what it left in the KV cache is then moved to its
sequence. Needs cells of its own for each sequence, and room for one prompt more.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Callable
from threading import Thread
from typing import Any

import llama_cpp.llama_cpp as c
import numpy as np
from numpy.typing import NDArray

from gogrid_desktop.core.memory_need import ASIDE_BYTES
from gogrid_desktop.worker import llama
from gogrid_desktop.worker.engine import Tokens

#: Shorter ones are read in the steps: moving them is not worth it.
LEAST_ROWS = 64
#: Rows of a piece: what is lost at most when the reading is stopped.
PIECE_ROWS = 256
# The state of a sequence in llama.cpp 0.3.36: three words (a mark, its number, the number of streams), and for each
# stream a word (its number of cells) and these. Another layout is refused by it, and prompts are read in the steps.
_WORD, _HEAD = 4, 12
_ABORTED = 2  # from llama_decode

log = logging.getLogger(__name__)

State = NDArray[np.uint8]


class Aside:
    """One prompt at a time, beside the context of an engine with `streams` sequences and `threads` threads, 2 or more.

    `open_context(cells, threads, interrupt)` opens another one on the same model, of one sequence, or returns None.
    Nothing here is called while a step runs.
    """

    def __init__(
        self,
        context: Any,
        streams: int,
        threads: int,
        bytes_per_token: int,
        open_context: Callable[[int, int, llama.Interrupt], Any],
    ) -> None:
        self._context, self._streams, self._threads = context, streams, threads
        self._most_tokens = ASIDE_BYTES // max(1, bytes_per_token)
        self._open_context = open_context
        self._reading: _Reading | None = None
        self._slot = self._position = 0

    def worth(self, position: int, rows: int) -> bool:
        """Whether so many rows from `position` on are better read here."""
        return rows >= LEAST_ROWS and position + rows <= self._most_tokens

    @property
    def ended(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return self._reading is None or not self._reading.thread.is_alive()

    def begin(self, slot: int, position: int, tokens: Tokens) -> None:
        """Read these after what the sequence holds, which are `position` tokens."""
        before = self._save(slot) if position else None
        aside = self._threads // 2
        self._use_threads(self._threads - aside)
        self._slot, self._position = slot, position

        def open_(cells: int, interrupt: llama.Interrupt) -> Any:
            return self._open_context(cells, aside, interrupt)

        self._reading = _Reading(open_, position, tokens, before)

    def end(self) -> int:
        """Stop, and move what was read to its sequence; returns how many tokens that holds now."""
        reading, self._reading = self._reading, None
        if reading is None:
            return self._position
        reading.interrupt.set()
        reading.thread.join()
        self._use_threads(self._threads)
        if reading.failed:
            log.warning("a prompt could not be read aside; from now on prompts are read in the steps")
            self._most_tokens = 0
        if reading.after is None:
            return self._position
        if self._restore(reading.after):
            return reading.position
        log.warning("what was read aside could not be moved; from now on prompts are read in the steps")
        self._most_tokens = 0
        c.llama_memory_seq_rm(c.llama_get_memory(self._context), self._slot, 0, -1)
        return 0

    def _use_threads(self, count: int) -> None:
        c.llama_set_n_threads(self._context, count, count)

    def _save(self, slot: int) -> State:
        """Of one of several streams, as if it were the only one. The others have no cells of it."""
        state = _state_of(self._context, slot)
        head = state[:_HEAD].copy()
        alone = state[_WORD * slot : state.size - _WORD * (self._streams - slot - 1)]
        alone[:_HEAD] = head
        return _with_streams(alone, 1)

    def _restore(self, alone: State) -> bool:
        """The reverse; the first stream that has cells goes to the sequence that is asked for."""
        state = np.zeros(alone.size + _WORD * (self._streams - 1), dtype=np.uint8)
        state[: alone.size] = alone
        return _put_state(self._context, self._slot, _with_streams(state, self._streams))


class _Reading:
    """Reads on its own thread from the beginning on. When that has ended, `after` is the state with `position` tokens,
    None if no piece was read."""

    def __init__(
        self, open_context: Callable[[int, llama.Interrupt], Any], position: int, tokens: Tokens, before: State | None
    ) -> None:
        self.position = position
        self.failed = False
        self.after: State | None = None
        self.interrupt = llama.Interrupt()
        self._open_context = open_context
        self._tokens = np.array(tokens, dtype=np.int32)  # llama.cpp has its address
        self._before = before
        self.thread = Thread(target=self._run, name="aside", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        context = self._open_context(self.position + len(self._tokens), self.interrupt)
        if not context:
            self.failed = True
            return
        try:
            if self._before is not None and not _put_state(context, 0, self._before):
                self.failed = True
                return
            self._before = None
            if self._read(context):
                self.after = _state_of(context, 0)
        finally:
            c.llama_free(context)

    def _read(self, context: Any) -> bool:
        """Whether something was read."""
        first = self.position
        for at in range(0, len(self._tokens), PIECE_ROWS):
            piece = self._tokens[at : at + PIECE_ROWS]
            pointer = ctypes.cast(piece.ctypes.data, ctypes.POINTER(c.llama_token))
            result = c.llama_decode(context, c.llama_batch_get_one(pointer, len(piece)))
            if result:
                self.failed = result != _ABORTED
                c.llama_memory_seq_rm(c.llama_get_memory(context), 0, self.position, -1)
                break
            self.position += len(piece)
        return self.position > first


def _state_of(context: Any, slot: int) -> State:
    size = c.llama_state_seq_get_size(context, slot)
    state = np.empty(size, dtype=np.uint8)
    written = c.llama_state_seq_get_data(context, _bytes(state), size, slot)
    return state[:written]


def _with_streams(state: State, count: int) -> State:
    state[_HEAD - _WORD : _HEAD] = np.frombuffer(count.to_bytes(_WORD, sys.byteorder), dtype=np.uint8)
    return state


def _put_state(context: Any, slot: int, state: State) -> bool:
    return bool(c.llama_state_seq_set_data(context, _bytes(state), state.size, slot))


def _bytes(state: State) -> Any:
    return ctypes.cast(state.ctypes.data, ctypes.POINTER(ctypes.c_uint8))
