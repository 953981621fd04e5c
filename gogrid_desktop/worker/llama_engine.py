"""A model file and its context behind the `Engine` protocol of the batcher. It belongs to the thread that loaded it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import llama_cpp.llama_cpp as c
import numpy as np

from gogrid_desktop.worker import llama
from gogrid_desktop.worker.aside import PIECE_ROWS, Aside
from gogrid_desktop.worker.engine import Decoded, Floats, Span
from gogrid_desktop.worker.limits import usable_cores
from gogrid_desktop.worker.llama_grammar import GrammarVocabulary
from gogrid_desktop.worker.messages import Load
from gogrid_desktop.worker.sampling import Vocabulary

#: Rows of a step: a whole piece of a prompt, and beside it the end of the one before and those that generate.
#: On a GPU it is also what cannot be stopped, so that the batcher fills it by the time that it takes.
MOST_ROWS = 576
#: A step on a GPU ends by itself or not at all.
LONGEST_GPU_STEP_S = 0.05
#: Rows of a step that have an output when all of them must, as for an embedding of a model that does not pool.
OUTPUT_ROWS = 32
#: Finished sequences that may stay beside those that run, where all share their cells.
PREFIXES = 16

# As a number: a pointer object and an array for each step take longer than reading them.
_logits_of = c._lib["llama_get_logits"]
_logits_of.argtypes, _logits_of.restype = [ctypes.c_void_p], ctypes.c_void_p

_KV_TYPES = {"f16": c.GGML_TYPE_F16, "q8_0": c.GGML_TYPE_Q8_0}


class Watch(Protocol):
    """Told where steps begin and end; `counts` is false for one that did not happen."""

    def began(self) -> None: ...

    def ended(self, *, counts: bool) -> None: ...


def context_params(load: Load, sequences: int, *, whole_rows: int = MOST_ROWS) -> Any:
    """The context of a load, but for its callbacks. `whole_rows`: most rows of a step."""
    params = c.llama_context_default_params()
    params.n_ctx = load.total_context
    params.n_seq_max = sequences
    params.kv_unified = shares_cells(load)
    params.n_batch = params.n_ubatch = whole_rows  # a step is one micro-step
    params.n_outputs_max = max(load.slots, OUTPUT_ROWS)
    params.n_threads = params.n_threads_batch = load.threads or usable_cores()
    params.type_k = params.type_v = _KV_TYPES[load.kv_type]
    params.no_perf = True
    return params


def shares_cells(load: Load) -> bool:
    """Whether all sequences share their cells. Each attends faster with cells of its own, where there is room."""
    return load.total_context < load.slots * load.context


class LlamaEngine:
    """A loaded model. `go_on` is asked often while it loads. Raises ModelFileError, LoadStopped.

    A step that runs while `interrupt` is set is aborted: any thread may set it.
    """

    slots: int
    sequences: int
    context: int
    trained_context: int
    total_context: int
    most_rows: int
    embed_rows: int
    longest_step_s: float | None
    cuts: bool
    pools: bool
    aside: Aside | None
    width: int
    vocabulary: int
    bos: int
    eos: int
    adds_bos: bool
    closing: list[int]
    piece: Callable[[int], bytes]
    sampling: Vocabulary
    _vocab: Any
    _memory: Any

    def __init__(
        self,
        load: Load,
        log: llama.LlamaLog,
        interrupt: llama.Interrupt,
        go_on: Callable[[], bool],
        watch: Watch,
    ) -> None:
        log.clear()
        log.details = True
        self.slots = load.slots
        self._watch = watch
        self._interrupt = interrupt  # llama.cpp has its address
        self._model = self._context = None
        llama.use_numa(load.numa)
        self._params = llama.model_params(load)
        stopped = False

        def progress(_fraction: float, _data: object) -> bool:
            nonlocal stopped
            stopped = stopped or not go_on()
            return not stopped

        # The callbacks are kept on self: ctypes would free them while llama.cpp still calls them.
        self._params.progress_callback = c.llama_progress_callback(progress)
        self._model = c.llama_model_load_from_file(load.path.encode(), self._params)
        if stopped:
            self.close()
            raise llama.LoadStopped
        if not self._model:
            raise llama.load_error(load.path, log.errors)
        self.trained_context = int(c.llama_model_n_ctx_train(self._model))
        self.context = min(load.context, load.total_context, self.trained_context)
        self._open_context(load, interrupt)
        if not self._context:
            self.close()
            raise llama.load_error(load.path, log.errors)
        self._read_facts(load)
        self.aside = self._make_aside(load)
        self._open_batch()
        log.details = False

    def _open_context(self, load: Load, interrupt: llama.Interrupt) -> None:
        self.cuts = not (c.llama_model_is_recurrent(self._model) or c.llama_model_is_hybrid(self._model))
        self.sequences = load.slots
        if shares_cells(load) and self.cuts:
            self.sequences = min(load.slots + PREFIXES, llama.MAX_SLOTS)
        self.most_rows = max(MOST_ROWS, load.slots)
        params = context_params(load, self.sequences, whole_rows=self.most_rows)
        params.abort_callback, params.abort_callback_data = interrupt.callback, interrupt.address
        self._context = c.llama_init_from_model(self._model, params)
        if self._context and c.llama_pooling_type(self._context) != c.LLAMA_POOLING_TYPE_NONE:
            # An embedding model looks at a whole text at once.
            c.llama_free(self._context)
            self.most_rows = max(self.most_rows, self.context)
            params.n_batch = params.n_ubatch = params.n_outputs_max = self.most_rows
            params.embeddings = True
            self._context = c.llama_init_from_model(self._model, params)

    def _read_facts(self, load: Load) -> None:
        self.total_context = int(c.llama_n_ctx(self._context))
        self.pools = int(c.llama_pooling_type(self._context)) != c.LLAMA_POOLING_TYPE_NONE
        self.embed_rows = self.most_rows if self.pools else min(OUTPUT_ROWS, self.most_rows)
        self.longest_step_s = LONGEST_GPU_STEP_S if load.gpu_layers else None
        self.width = int(c.llama_model_n_embd(self._model))
        self._memory = c.llama_get_memory(self._context)  # none where nothing is remembered, as in BERT
        self._vocab = c.llama_model_get_vocab(self._model)
        self.vocabulary = int(c.llama_vocab_n_tokens(self._vocab))
        self.bos = int(c.llama_vocab_bos(self._vocab))
        self.eos = int(c.llama_vocab_eos(self._vocab))
        self.adds_bos = self.bos >= 0 and bool(c.llama_vocab_get_add_bos(self._vocab))
        separator = int(c.llama_vocab_sep(self._vocab)) if c.llama_vocab_get_add_sep(self._vocab) else -1
        end = separator if separator >= 0 or not c.llama_vocab_get_add_eos(self._vocab) else self.eos
        self.closing = [end] if end >= 0 else []
        self.piece = lru_cache(maxsize=65536)(self._piece)
        self.sampling = Vocabulary(self.vocabulary, self.ends, GrammarVocabulary(self._vocab, self.vocabulary).open)

    def _make_aside(self, load: Load) -> Aside | None:
        """What reads long prompts aside: on a CPU, where sequences have cells of their own and of one kind."""
        threads = load.threads or usable_cores()
        alike = self.cuts and not self.pools and c.llama_model_n_swa(self._model) == 0
        if not alike or load.gpu_layers or shares_cells(load) or load.slots < 2 or threads < 2:
            return None

        def open_context(cells: int, count: int, interrupt: llama.Interrupt) -> Any:
            params = context_params(load, 1, whole_rows=PIECE_ROWS)
            params.n_ctx, params.n_outputs_max = cells, 1
            params.n_threads = params.n_threads_batch = count
            params.abort_callback, params.abort_callback_data = interrupt.callback, interrupt.address
            return c.llama_init_from_model(self._model, params)

        return Aside(self._context, self.sequences, threads, self._kv_bytes, open_context)

    def _open_batch(self) -> None:
        """A batch whose columns are numpy arrays, filled by slices."""
        rows = self.most_rows
        self._token = np.zeros(rows, dtype=np.int32)
        self._position = np.zeros(rows, dtype=np.int32)
        self._counting = np.arange(rows, dtype=np.int32)
        self._one = np.ones(rows, dtype=np.int32)
        self._slot = np.zeros(rows, dtype=np.int32)
        self._slot_of = self._slot.ctypes.data + np.arange(rows, dtype=np.uintp) * self._slot.itemsize
        self._ask = np.zeros(rows, dtype=np.int8)
        self._logits = np.zeros((0, self.vocabulary), dtype=np.float32)
        self._logits_address = 0
        batch = c.llama_batch()
        for field, column in (
            ("token", self._token),
            ("pos", self._position),
            ("n_seq_id", self._one),
            ("seq_id", self._slot_of),
            ("logits", self._ask),
        ):
            kind = dict(c.llama_batch._fields_)[field]
            setattr(batch, field, ctypes.cast(column.ctypes.data, kind))
        self._batch = batch

    @property
    def memory_bytes(self) -> int:
        """Of weights and KV cache; the compute buffer comes on top."""
        return int(c.llama_model_size(self._model)) + self._kv_bytes * self.total_context

    @property
    def _kv_bytes(self) -> int:
        """Of one token, at most."""
        heads, kv_heads = c.llama_model_n_head(self._model), c.llama_model_n_head_kv(self._model)
        width = c.llama_model_n_embd(self._model) * kv_heads // max(1, heads)
        return int(2 * 2 * width * c.llama_model_n_layer(self._model))

    @property
    def template(self) -> str | None:
        """The chat template of the file."""
        text = c.llama_model_chat_template(self._model, None)
        return text.decode(errors="replace") if text else None

    def special_texts(self) -> list[str]:
        """Texts of the tokens that mean something to the model beyond their characters."""
        wanted = c.LLAMA_TOKEN_ATTR_CONTROL | c.LLAMA_TOKEN_ATTR_UNKNOWN
        ids = [i for i in range(self.vocabulary) if c.llama_vocab_get_attr(self._vocab, i) & wanted]
        return [text for i in ids if (text := self.token_text(i))]

    def token_text(self, token: int) -> str:
        return str(c.llama_vocab_get_text(self._vocab, token).decode(errors="replace")) if token >= 0 else ""

    def tokenise(self, text: str, *, special: bool) -> list[int]:
        """Token ids of a text; nothing is put before or after it."""
        data = text.encode()
        ids = (c.llama_token * (len(data) + 8))()
        count = c.llama_tokenize(self._vocab, data, len(data), ids, len(ids), False, special)
        if count < 0:
            raise ValueError(f"a text of {len(data)} bytes is more than {len(ids)} tokens")
        return list(ids[:count])

    def ends(self, token: int) -> bool:
        return bool(c.llama_vocab_is_eog(self._vocab, token))

    def decode(self, spans: Sequence[Span]) -> Decoded:
        at = asked = 0
        for span in spans:
            end = at + len(span.tokens)
            self._token[at:end] = span.tokens
            self._position[at:end] = span.position + self._counting[: end - at]
            self._slot[at:end] = span.slot
            self._ask[at:end] = 0
            self._ask[end - 1] = span.ask
            at, asked = end, asked + span.ask
        outcome = self._run(at)
        if outcome is Decoded.DONE and asked:
            self._view_logits(asked)
        return outcome

    def logits(self, index: int) -> Floats:
        logits: Floats = self._logits[index]
        return logits

    def _view_logits(self, asked: int) -> None:
        """Look at the rows of the last step where they lie; it is nearly always where they lay before."""
        address = _logits_of(self._context)
        if address != self._logits_address or asked > len(self._logits):
            pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
            self._logits = np.ctypeslib.as_array(pointer, shape=(asked, self.vocabulary))
            self._logits_address = address

    def embed(self, span: Span) -> tuple[Decoded, Floats | None]:
        rows = len(span.tokens)
        self._token[:rows] = span.tokens
        self._position[:rows] = span.position + self._counting[:rows]
        self._slot[:rows] = span.slot
        self._ask[:rows] = 1
        c.llama_set_embeddings(self._context, True)
        try:
            outcome = self._run(rows)
            if outcome is not Decoded.DONE:
                return outcome, None
            if self.pools:
                pooled = c.llama_get_embeddings_seq(self._context, span.slot)
                return outcome, np.ctypeslib.as_array(pooled, shape=(self.width,)).copy()
            each = np.ctypeslib.as_array(c.llama_get_embeddings(self._context), shape=(rows, self.width))
            return outcome, each.sum(axis=0)
        finally:
            c.llama_set_embeddings(self._context, self.pools)

    def forget(self, slot: int, position: int) -> int:
        if self._memory is None:
            return 0
        if c.llama_memory_seq_rm(self._memory, slot, position, -1):
            return position
        c.llama_memory_seq_rm(self._memory, slot, 0, -1)  # a recurrent state cannot be cut, only dropped
        return 0

    def copy(self, source: int, target: int, length: int) -> None:
        # Where each sequence has cells of its own it is copied whole.
        c.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        c.llama_memory_seq_rm(self._memory, target, length, -1)

    def close(self) -> None:
        """Give all memory back."""
        if self._context:
            c.llama_free(self._context)
        if self._model:
            c.llama_model_free(self._model)
        self._context = self._model = None

    def _run(self, rows: int) -> Decoded:
        self._batch.n_tokens = rows
        self._watch.began()
        result = None
        try:
            result = c.llama_decode(self._context, self._batch)
        finally:
            self._watch.ended(counts=result == 0)
        return _OUTCOMES.get(result, Decoded.FAILED)

    def _piece(self, token: int) -> bytes:
        buffer = (ctypes.c_char * 64)()
        size = c.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        if size < 0:
            buffer = (ctypes.c_char * -size)()
            size = c.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return bytes(buffer.raw[:size])


_OUTCOMES = {0: Decoded.DONE, 1: Decoded.FULL, 2: Decoded.ABORTED}
