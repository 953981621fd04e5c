"""The only importer of llama_cpp: a model file and its context behind the `Engine` protocol of the batcher.

It belongs to the one thread that loaded the model.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import llama_cpp._ggml as _ggml
import llama_cpp.llama_cpp as c
import numpy as np

from gogrid_desktop.errors import ModelFileError
from gogrid_desktop.worker.batcher import PREFILL_ROWS_ALONE, Decoded, Row
from gogrid_desktop.worker.limits import usable_cores
from gogrid_desktop.worker.messages import Load
from gogrid_desktop.worker.sampling import Logits

VERSION = f"llama-cpp-python {version('llama-cpp-python')}"

MAX_SLOTS = int(c.llama_max_parallel_sequences())

_LEVELS = {1: "debug", 2: "debug", 3: "warning", 4: "error"}  # ggml's info is one line for each tensor and parameter
_CONTINUED = 5
_MEMORY_WORDS = re.compile(r"out of memory|failed to allocate|unable to allocate|cannot allocate", re.IGNORECASE)


class LoadStopped(Exception):
    """The load was given up because `go_on` said so."""


class Interrupt:
    """A flag that llama.cpp looks at before each node of a step without calling into Python.

    It does so through the C library's `strlen`: of a text with one character it is 1, of an empty one 0. A callback in
    Python would take the interpreter's lock some thousand times a step.
    """

    def __init__(self) -> None:
        self._flag = ctypes.create_string_buffer(2)
        self.address = ctypes.cast(self._flag, ctypes.c_void_p)
        library = ctypes.CDLL("msvcrt" if hasattr(ctypes, "windll") else None)
        self.callback = ctypes.cast(library.strlen, c.ggml_abort_callback)

    def set(self) -> None:
        """Abort the step that runs; any thread may do so."""
        self._flag[0] = b"\1"

    def clear(self) -> None:
        self._flag[0] = b"\0"


class LlamaLog:
    """Catches llama.cpp's log for as long as the process lives. `errors`: what it complained of since `clear`."""

    def __init__(self, forward: Callable[[str, str], None]) -> None:
        self.errors: list[str] = []
        self._forward = forward
        self._line, self._level = "", "debug"
        self._callback = c.llama_log_callback(self._on_log)
        c.llama_log_set(self._callback, None)

    def clear(self) -> None:
        self.errors.clear()

    def _on_log(self, level: int, text: bytes, _data: object) -> None:
        if level != _CONTINUED:
            self._level = _LEVELS.get(level, "debug")
        self._line += text.decode(errors="replace")
        if self._line.endswith("\n"):
            line, self._line = self._line.rstrip(), ""
            if self._level == "error":
                self.errors.append(line)
            if line.strip(" ."):
                self._forward(self._level, line)


def backends() -> tuple[str, ...]:
    """Names of the compute devices that llama.cpp sees."""
    c.llama_backend_init()
    lib = _ggml.libggml
    lib.ggml_backend_dev_count.restype = ctypes.c_size_t
    lib.ggml_backend_dev_get.restype = ctypes.c_void_p
    lib.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
    lib.ggml_backend_dev_name.restype = ctypes.c_char_p
    lib.ggml_backend_dev_name.argtypes = [ctypes.c_void_p]
    count = lib.ggml_backend_dev_count()
    return tuple(lib.ggml_backend_dev_name(lib.ggml_backend_dev_get(i)).decode() for i in range(count))


class LlamaEngine:
    """A loaded model. `go_on` is asked often while it loads. Raises ModelFileError, LoadStopped.

    A step that runs while `interrupt` is set is aborted: any thread may set it.
    """

    slots: int
    context: int
    trained_context: int
    total_context: int
    vocabulary: int
    bos: int
    eos: int
    adds_bos: bool
    piece: Callable[[int], bytes]
    _vocab: Any
    _memory: Any
    _batch: Any

    def __init__(self, load: Load, log: LlamaLog, interrupt: Interrupt, go_on: Callable[[], bool]) -> None:
        log.clear()
        self.slots = load.slots
        self._model = self._context = None
        params = c.llama_model_default_params()
        params.n_gpu_layers = load.gpu_layers
        stopped = False

        def progress(_fraction: float, _data: object) -> bool:
            nonlocal stopped
            stopped = stopped or not go_on()
            return not stopped

        # The callbacks are kept on self: ctypes would free them while llama.cpp still calls them.
        self._progress = c.llama_progress_callback(progress)
        params.progress_callback = self._progress
        self._model = c.llama_model_load_from_file(load.path.encode(), params)
        if stopped:
            self.close()
            raise LoadStopped
        if not self._model:
            raise _load_error(load.path, log.errors)
        self.trained_context = int(c.llama_model_n_ctx_train(self._model))
        self.context = min(load.context, load.total_context, self.trained_context)
        self._open_context(load, interrupt)
        if not self._context:
            self.close()
            raise _load_error(load.path, log.errors)
        self._memory = c.llama_get_memory(self._context)
        self._vocab = c.llama_model_get_vocab(self._model)
        self.vocabulary = int(c.llama_vocab_n_tokens(self._vocab))
        self.bos = int(c.llama_vocab_bos(self._vocab))
        self.eos = int(c.llama_vocab_eos(self._vocab))
        self.adds_bos = bool(c.llama_vocab_get_add_bos(self._vocab))
        self.piece = lru_cache(maxsize=65536)(self._piece)
        self._batch = c.llama_batch_init(self._most_rows, 0, 1)

    def _open_context(self, load: Load, interrupt: Interrupt) -> None:
        self._most_rows = PREFILL_ROWS_ALONE + load.slots
        params = c.llama_context_default_params()
        params.n_ctx = load.total_context
        params.n_seq_max = load.slots
        params.kv_unified = True
        params.n_batch = params.n_ubatch = self._most_rows  # a step is one micro-step
        params.n_threads = params.n_threads_batch = load.threads or usable_cores()
        params.no_perf = True
        params.abort_callback, params.abort_callback_data = interrupt.callback, interrupt.address
        self._context = c.llama_init_from_model(self._model, params)
        if self._context:
            self.total_context = int(c.llama_n_ctx(self._context))

    @property
    def memory_bytes(self) -> int:
        """Of weights and KV cache; the compute buffer comes on top."""
        heads, kv_heads = c.llama_model_n_head(self._model), c.llama_model_n_head_kv(self._model)
        width = c.llama_model_n_embd(self._model) * kv_heads // max(1, heads)
        kv_bytes = 2 * 2 * width * c.llama_model_n_layer(self._model) * self.total_context
        return int(c.llama_model_size(self._model)) + int(kv_bytes)

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

    def decode(self, rows: Sequence[Row]) -> Decoded:
        batch = self._batch
        batch.n_tokens = len(rows)
        for i, row in enumerate(rows):
            batch.token[i] = row.token
            batch.pos[i] = row.position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = row.slot
            batch.logits[i] = row.logits
        result = c.llama_decode(self._context, batch)
        if result == 0:
            return Decoded.DONE
        return Decoded.ABORTED if result == 2 else Decoded.FAILED

    def logits(self, row: int) -> Logits:
        pointer = c.llama_get_logits_ith(self._context, row)
        return np.ctypeslib.as_array(pointer, shape=(self.vocabulary,))

    def forget(self, slot: int, position: int) -> None:
        c.llama_memory_seq_rm(self._memory, slot, position, -1)

    def close(self) -> None:
        """Give all memory back."""
        if self._context:
            c.llama_batch_free(self._batch)
            c.llama_free(self._context)
        if self._model:
            c.llama_model_free(self._model)
        self._context = self._model = None

    def _piece(self, token: int) -> bytes:
        buffer = (ctypes.c_char * 64)()
        size = c.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        if size < 0:
            buffer = (ctypes.c_char * -size)()
            size = c.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return bytes(buffer.raw[:size])


def _load_error(path: str, errors: Sequence[str]) -> ModelFileError:
    said = errors[0] if errors else "llama.cpp gave no reason"
    if any(_MEMORY_WORDS.search(line) for line in errors):
        return ModelFileError(
            f"There is not enough memory for the model {path} ({said}).", "Choose a smaller model or a smaller context."
        )
    unknown = next((line for line in errors if "unknown model architecture" in line), "")
    if unknown:
        name = unknown.rpartition("architecture:")[2].strip(" '")
        return ModelFileError(
            f"The model {path} has the architecture {name}, which {VERSION} cannot run.", "Choose another model."
        )
    return ModelFileError(f"llama.cpp cannot load the model {path} ({said}).", "Fetch the file again.")
