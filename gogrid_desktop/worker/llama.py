"""What surrounds a model in llama.cpp: its log, the flag that stops a step, its devices, and how files are opened."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import llama_cpp._ggml as _ggml
import llama_cpp.llama_cpp as c

from gogrid_desktop.errors import ModelFileError
from gogrid_desktop.worker.messages import Load

VERSION = f"llama-cpp-python {version('llama-cpp-python')}"

MAX_SLOTS = int(c.llama_max_parallel_sequences())

_LEVELS = {1: "debug", 2: "debug", 3: "warning", 4: "error"}  # ggml's info is one line for each tensor and parameter
_CONTINUED = 5
_MEMORY_WORDS = re.compile(r"out of memory|failed to allocate|unable to allocate|cannot allocate", re.IGNORECASE)


_LOAD_MODES = {
    (False, False): c.LLAMA_LOAD_MODE_NONE,
    (True, False): c.LLAMA_LOAD_MODE_MMAP,
    (False, True): c.LLAMA_LOAD_MODE_MLOCK,
    (True, True): c.LLAMA_LOAD_MODE_MMAP_MLOCK,
}
_NUMA = {
    "distribute": c.GGML_NUMA_STRATEGY_DISTRIBUTE,
    "isolate": c.GGML_NUMA_STRATEGY_ISOLATE,
    "numactl": c.GGML_NUMA_STRATEGY_NUMACTL,
}


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
    """Catches llama.cpp's log for as long as the process lives. `errors`: what it complained of since `clear`.

    Without `details` only complaints are forwarded: a context makes thousands of lines.
    """

    def __init__(self, forward: Callable[[str, str], None]) -> None:
        self.errors: list[str] = []
        self.details = True
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
            if line.strip(" .") and (self.details or self._level != "debug"):
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


def model_params(load: Load) -> Any:
    """How a file is opened, but for the progress callback. What it points to is kept in its attribute `kept`."""
    params = c.llama_model_default_params()
    params.n_gpu_layers = load.gpu_layers
    params.load_mode = _LOAD_MODES[load.mmap, load.mlock]
    kept: list[Any] = []
    if load.gpu_layers == 0:
        # No device at all: a GPU that holds no layer would still take some hundred MiB for its context.
        kept.append((ctypes.c_void_p * 1)())
        params.devices = ctypes.cast(kept[-1], ctypes.c_void_p)
    elif load.tensor_split:
        split = (ctypes.c_float * int(c.llama_max_devices()))(*load.tensor_split)
        kept.append(split)
        params.tensor_split = split
    params.kept = kept
    return params


def use_numa(strategy: str) -> None:
    """Spread threads and memory over the nodes of the machine; the first call in a process is the one that counts."""
    if strategy != "off":
        c.llama_numa_init(_NUMA[strategy])


def load_error(path: str, errors: Sequence[str]) -> ModelFileError:
    """What llama.cpp's log says of a load that failed."""
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
