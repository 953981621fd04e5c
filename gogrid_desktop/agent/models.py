"""The model files this node has: found, hashed, matched with the coordinator's catalogue, fetched when there is none.

The node trusts hashes alone: a file is a catalogue's model if and only if its SHA-256 is, whatever it is called. Hashes
are remembered by path, size and modification time, so that a start does not read gigabytes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gogrid_desktop.client.grid import GridClient
from gogrid_desktop.errors import ModelFileError, StorageFull
from gogrid_desktop.paths import private_dir, starter_model, write_private
from gogrid_desktop.protocol.grid import Catalogue, CatalogueModel

log = logging.getLogger(__name__)

_PIECE = 2**20
#: Left free on the disk beyond the model itself.
DISK_RESERVE_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class ModelFile:
    path: Path
    sha256: str
    size_bytes: int


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


class ModelShelf:
    """All model files of this node. Methods block on the disk: call them in a thread."""

    def __init__(self, folder: Path, extra: Iterable[Path], memory_file: Path) -> None:
        self._folder = folder
        self._extra = tuple(extra)
        self._memory_file = memory_file

    def scan(self) -> dict[str, ModelFile]:
        """The files there are, by hash. One that cannot be read is named in the log and left out."""
        known = self._remembered()
        fresh: dict[str, str] = {}
        found: dict[str, ModelFile] = {}
        for path in self._candidates():
            try:
                stat = path.stat()
                key = f"{path}|{stat.st_size}|{stat.st_mtime_ns}"
                fresh[key] = known.get(key) or sha256_of(path)
            except OSError as error:
                log.warning("the model file %s cannot be read: %s", path, error)
                continue
            found[fresh[key]] = ModelFile(path, fresh[key], stat.st_size)
        if fresh != known:
            write_private(self._memory_file, json.dumps(fresh).encode())
        return found

    async def fetch(self, grid: GridClient, model: CatalogueModel) -> ModelFile:
        """Download a model, or the rest of it. Raises StorageFull, ModelFileError, CoordinatorError."""
        private_dir(self._folder)
        part = self._folder / f"{model.sha256}.part"
        offset = part.stat().st_size if part.exists() else 0
        if offset > model.size_bytes:
            part.unlink()
            offset = 0
        free = shutil.disk_usage(self._folder).free
        if free < model.size_bytes - offset + DISK_RESERVE_BYTES:
            raise StorageFull(
                f"{model.id} needs {model.size_bytes - offset:,} bytes and {free:,} are free in {self._folder}.",
                f"Free some space; {DISK_RESERVE_BYTES:,} bytes are always left.",
            )
        log.info("fetching %s, %d bytes, from byte %d", model.id, model.size_bytes, offset)
        if offset < model.size_bytes:
            async with grid.model_file(model.sha256, offset) as pieces:
                with part.open("ab") as out:
                    async for piece in pieces:
                        out.write(piece)
        if sha256_of(part) != model.sha256:
            part.unlink()
            raise ModelFileError(
                f"The coordinator sent another file than {model.id} (its hash differs).",
                "It was thrown away; tell the operator.",
            )
        path = self._folder / f"{model.sha256}.gguf"
        part.replace(path)
        return ModelFile(path, model.sha256, model.size_bytes)

    def _candidates(self) -> Iterator[Path]:
        yield from self._extra
        starter = starter_model()
        if starter is not None:
            yield starter
        if self._folder.is_dir():
            yield from sorted(self._folder.glob("*.gguf"))

    def _remembered(self) -> dict[str, str]:
        try:
            known = json.loads(self._memory_file.read_text())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def missing(catalogue: Catalogue, files: dict[str, ModelFile]) -> CatalogueModel | None:
    """What to fetch when nothing of the catalogue is here: its smallest model that the coordinator can send."""
    if any(model.sha256 in files for model in catalogue.models):
        return None
    return min((m for m in catalogue.models if m.file), key=lambda m: m.size_bytes, default=None)
