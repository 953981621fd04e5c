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
from typing import Any

import llama_cpp.llama_cpp as c

from gogrid_desktop.errors import GoGridError
from gogrid_desktop.gguf import read_header
from gogrid_desktop.worker import llama
from gogrid_desktop.worker.llama_engine import MOST_ROWS, context_params
from gogrid_desktop.worker.measure_frames import Measure, Measured, Measurement
from gogrid_desktop.worker.messages import Load, encode

_LINE = re.compile(r"compute buffer size = +([0-9]+\.[0-9]{2}) MiB")
_HALF_STEP_MIB = 0.005  # the log has two decimals
_NO_MAPPING = 0  # LLAMA_LOAD_MODE_NONE


def measure(ask: Measure) -> Measured:
    """Answer; what is wrong with the model is said in `problem`. A cache type that it cannot have is left out."""
    lines: list[str] = []
    log = llama.LlamaLog(lambda _level, line: lines.append(line))
    c.llama_backend_init()
    try:
        pooling = read_header(Path(ask.load.path)).facts.pooling
    except GoGridError as error:
        return Measured(problem=str(error))
    params = llama.model_params(ask.load)
    params.no_alloc, params.load_mode = True, _NO_MAPPING
    model = c.llama_model_load_from_file(ask.load.path.encode(), params)
    if not model:
        return Measured(problem=str(llama.load_error(ask.load.path, log.errors)))
    points = []
    for kv_type in ask.kv_types:
        for cells in ask.cells:
            lines.clear()
            load = ask.load.model_copy(update={"total_context": cells, "kv_type": kv_type})
            context = c.llama_init_from_model(model, _context_params(load, pools=pooling not in ("", "none")))
            if context:
                c.llama_free(context)
                points.append(Measurement(cells=cells, kv_type=kv_type, compute_bytes=_largest(lines)))
    c.llama_model_free(model)
    return Measured(points=tuple(points))


def _context_params(load: Load, *, pools: bool) -> Any:
    """As the engine has them, with cells shared by all: that takes no less than cells of its own for each."""
    params = context_params(load, load.slots, whole_rows=max(MOST_ROWS, load.slots))
    params.kv_unified = True
    if pools:
        params.n_batch = params.n_ubatch = params.n_outputs_max = max(MOST_ROWS, load.slots, load.context)
        params.embeddings = True
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
