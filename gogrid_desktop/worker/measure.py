"""`python -m gogrid_desktop.worker.measure`: what a model takes beside weights and cache, without loading it.

llama.cpp can open a model without allocating anything (`llama_model_params.no_alloc`, as its own `fit-params` does); it
then lays out the largest computation and logs the size of the buffer for each device. That is done here, in a process
of its own, because a file that only looks right may end it, and because a GPU's context is given back with it.

Reads one line (`Measure`) from standard input, writes one (`Measured`) to standard output.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import llama_cpp.llama_cpp as c

from gogrid_desktop.errors import GoGridError
from gogrid_desktop.gguf import read_header
from gogrid_desktop.worker import llama
from gogrid_desktop.worker.measure_frames import Measure, Measured, Measurement
from gogrid_desktop.worker.messages import encode

_LINE = re.compile(r"compute buffer size = +([0-9]+\.[0-9]{2}) MiB")
_HALF_STEP_MIB = 0.005  # the log has two decimals
_KV_TYPES = {"f16": 1, "q8_0": 8}  # ggml_type
_NO_MAPPING = 0  # LLAMA_LOAD_MODE_NONE


def measure(ask: Measure) -> Measured:
    """Answer; what is wrong with the model is said in `problem`. A cache type that it cannot have is left out."""
    lines: list[str] = []
    log = llama.LlamaLog(lambda _level, line: lines.append(line))
    backends = llama.backends()
    if not ask.path:
        return Measured(backends=backends)
    try:
        read_header(Path(ask.path))
    except GoGridError as error:
        return Measured(backends=backends, problem=str(error))
    params = c.llama_model_default_params()
    params.no_alloc, params.load_mode = True, _NO_MAPPING
    params.n_gpu_layers = ask.gpu_layers
    model = c.llama_model_load_from_file(ask.path.encode(), params)
    if not model:
        said = log.errors[0] if log.errors else "llama.cpp gave no reason"
        return Measured(backends=backends, problem=f"The model {ask.path} cannot be opened ({said}).")
    points = []
    for kv_type in ask.kv_types:
        for cells in ask.cells:
            lines.clear()
            context = c.llama_init_from_model(model, _context_params(ask, cells, kv_type))
            if context:
                c.llama_free(context)
                points.append(Measurement(cells=cells, kv_type=kv_type, compute_bytes=_largest(lines)))
    c.llama_model_free(model)
    return Measured(backends=backends, points=tuple(points))


def _context_params(ask: Measure, cells: int, kv_type: str) -> c.llama_context_params:
    params = c.llama_context_default_params()
    params.n_ctx = cells
    params.n_seq_max = ask.slots
    params.kv_unified = True
    params.n_batch = params.n_ubatch = ask.rows
    params.type_k = params.type_v = _KV_TYPES[kv_type]
    return params


def _largest(lines: Iterable[str]) -> int:
    """The largest buffer in the log, rounded up to what its two decimals can mean; 0 where none is named."""
    sizes = [float(match[1]) for line in lines if (match := _LINE.search(line))]
    return int((max(sizes) + _HALF_STEP_MIB) * 2**20) + 1 if sizes else 0


def main() -> None:
    ask = Measure.model_validate_json(sys.stdin.buffer.readline())
    sys.stdout.buffer.write(encode(measure(ask)))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
