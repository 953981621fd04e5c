"""Reads the header of a GGUF file without llama.cpp, which aborts its process on some broken files.

Nothing that the file says is believed before it is checked against the file's length and against what llama.cpp takes:
no read is longer than what is there, and long lists are skipped, not kept. Format: `docs/gguf.md` of
github.com/ggml-org/ggml; what is refused there: `ggml/src/gguf.cpp`.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gogrid_desktop.core.model_facts import ModelFacts, Tensor, Unfit, Values, facts_of
from gogrid_desktop.core.quantization import TENSOR_TYPES
from gogrid_desktop.errors import ModelFileError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_HEADER_BYTES = 2**26
MAX_ENTRIES = 2**16
MAX_LIST = 2**22
MAX_STRING_BYTES = 2**22
MAX_KEY_BYTES = 2**16
MAX_NAME_BYTES = 63
MAX_ALIGNMENT = 2**16
MAX_DIMENSIONS = 4
MAX_TENSOR_VALUES = 2**63 - 1
#: Lists of whole numbers up to this long are kept: sizes that differ from layer to layer.
MAX_KEPT_LIST = 1024

_STRING, _LIST = 8, 9
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_WHOLE = frozenset({0, 1, 2, 3, 4, 5, 7, 10, 11})
_UINT32 = 4


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a model file says of itself.

    `metadata` has its single values and its short lists of whole numbers; other lists are left out. `tensors` is how
    many there are.
    """

    name: str
    architecture: str
    trained_context: int
    template: str | None
    tensors: int
    size_bytes: int
    metadata: dict[str, Values]
    facts: ModelFacts


def read_header(path: Path) -> GgufHeader:
    """Read the header and check that the file is as long as its tensors need. Raises ModelFileError."""
    try:
        if not path.is_file():
            raise ModelFileError(f"The model file {path} is not there, or is no file.", "Fetch it again.")
        with path.open("rb") as file:
            return _read(_Reader(path, file))
    except OSError as error:
        raise ModelFileError(f"The model file {path} cannot be read: {error.strerror}.", "Check the file.") from error
    except ValueError as error:  # a NUL in it
        raise ModelFileError(f"The model file {str(path)!r} cannot be read: {error}.", "Check its name.") from error


class _Reader:
    """Takes bytes from the front of a file, never more than there are."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self.size_bytes = os.fstat(file.fileno()).st_size
        self.offset = 0

    def error(self, what: str) -> ModelFileError:
        return ModelFileError(
            f"The model file {self._path} is broken at byte {self.offset:,}: {what}.", "Fetch the file again."
        )

    def cut_off(self, field: str, needed: int) -> ModelFileError:
        return ModelFileError(
            f"The model file {self._path} is cut off in {field}: "
            f"it has {self.size_bytes:,} bytes and needs {needed:,} or more.",
            "Fetch the file again.",
        )

    def take(self, count: int, field: str) -> bytes:
        self._check(count, field)
        data = self._file.read(count)
        if len(data) < count:  # it shrank meanwhile
            raise self.cut_off(field, self.offset + count)
        self.offset += count
        return data

    def skip(self, count: int, field: str) -> None:
        self._check(count, field)
        self._file.seek(count, os.SEEK_CUR)
        self.offset += count

    def _check(self, count: int, field: str) -> None:
        if self.offset + count > self.size_bytes:
            raise self.cut_off(field, self.offset + count)
        if self.offset + count > MAX_HEADER_BYTES:
            raise self.error(f"{field} reaches beyond the first {MAX_HEADER_BYTES:,} bytes, where the header must end")

    def number(self, layout: str, field: str) -> int:
        return int(struct.unpack(layout, self.take(struct.calcsize(layout), field))[0])

    def bounded(self, layout: str, field: str, most: int) -> int:
        value = self.number(layout, field)
        if value > most:
            raise self.error(f"{field} = {value:,}, allowed are 0 to {most:,}")
        return value

    def text(self, field: str, most: int) -> str:
        size = self.bounded("<Q", f"the length of {field}", most)
        return self.take(size, field).decode(errors="replace")


def _read(reader: _Reader) -> GgufHeader:
    if reader.size_bytes < len(MAGIC) or reader.take(len(MAGIC), "the magic number") != MAGIC:
        reader.offset = 0
        raise reader.error("it does not begin with GGUF, so that it is no GGUF model")
    version = reader.number("<I", "the version")
    if version not in VERSIONS:
        raise reader.error(f"version = {version}, allowed are {VERSIONS[0]} and {VERSIONS[-1]}")
    count = reader.bounded("<Q", "the number of tensors", MAX_ENTRIES)
    metadata, lists = _metadata(reader, reader.bounded("<Q", "the number of metadata entries", MAX_ENTRIES))
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or not 0 < alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise reader.error(f"general.alignment = {alignment!r}, allowed are powers of 2 from 1 to {MAX_ALIGNMENT}")
    tensors = _tensors(reader, count, alignment)
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise reader.error("general.architecture is missing")
    facts = facts_of(architecture, metadata, tensors, lists)
    if isinstance(facts, Unfit):
        told = "is missing" if facts.value is None else f"= {_short(facts.value)}"
        raise reader.error(f"{facts.field} {told}, allowed is {facts.allowed}")
    template = metadata.get("tokenizer.chat_template")
    return GgufHeader(
        name=str(metadata.get("general.name", "")),
        architecture=architecture,
        trained_context=facts.trained_context,
        template=template if isinstance(template, str) else None,
        tensors=len(tensors),
        size_bytes=reader.size_bytes,
        metadata=metadata,
        facts=facts,
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _metadata(reader: _Reader, entries: int) -> tuple[dict[str, Values], dict[str, int]]:
    """The values that are kept, and how long each list is, kept or not."""
    metadata: dict[str, Values] = {}
    lists: dict[str, int] = {}
    seen: set[str] = set()
    for _ in range(entries):
        key = reader.text("a metadata key", MAX_KEY_BYTES)
        if not key or key in seen:
            raise reader.error(f"the metadata key {_short(key)} is there twice" if key else "a metadata key is empty")
        seen.add(key)
        kind = reader.number("<I", f"the type of {key}")
        if kind == _LIST:
            value, lists[key] = _list(reader, key)
            if value is not None:
                metadata[key] = value
        elif kind == _STRING:
            metadata[key] = reader.text(key, MAX_STRING_BYTES)
        elif kind not in _SCALARS:
            raise reader.error(f"the type of {key} = {kind}, allowed are 0 to 12")
        elif key == "general.alignment" and kind != _UINT32:
            raise reader.error(f"the type of {key} = {kind}, allowed is {_UINT32}")
        else:
            layout = _SCALARS[kind]
            metadata[key] = struct.unpack(layout, reader.take(struct.calcsize(layout), key))[0]
    return metadata, lists


def _list(reader: _Reader, key: str) -> tuple[tuple[int, ...] | None, int]:
    """A short list of whole numbers, None for any other, which is skipped; and its length."""
    kind = reader.number("<I", f"the type of the values of {key}")
    count = reader.bounded("<Q", f"the length of {key}", MAX_LIST)
    if kind in _WHOLE and count <= MAX_KEPT_LIST:
        layout = f"<{count}{_SCALARS[kind][1]}"
        return tuple(int(value) for value in struct.unpack(layout, reader.take(struct.calcsize(layout), key))), count
    if kind in _SCALARS:
        reader.skip(count * struct.calcsize(_SCALARS[kind]), key)
    elif kind == _STRING:
        for _ in range(count):
            reader.skip(reader.bounded("<Q", f"the length of a text of {key}", MAX_STRING_BYTES), key)
    else:
        raise reader.error(f"the type of the values of {key} = {kind}, allowed are 0 to 8 and 10 to 12")
    return None, count


def _tensors(reader: _Reader, count: int, alignment: int) -> list[Tensor]:
    """The list of tensors, each checked for lying right behind the one before it, all of them for being there."""
    tensors: list[Tensor] = []
    seen: set[str] = set()
    end = needed = 0
    for _ in range(count):
        name = reader.text("a tensor's name", MAX_NAME_BYTES)
        if name in seen:
            raise reader.error(f"the tensor {_short(name)} is there twice")
        seen.add(name)
        shape = [
            reader.bounded("<Q", f"a dimension of {name}", MAX_TENSOR_VALUES)
            for _ in range(reader.bounded("<I", f"the number of dimensions of {name}", MAX_DIMENSIONS))
        ]
        tensor = _tensor(reader, name, shape)
        offset = reader.number("<Q", f"the offset of {name}")
        if offset > reader.size_bytes:
            raise reader.cut_off("its tensors", offset)
        if offset != end:
            raise reader.error(f"the offset of {name} = {offset:,}, allowed is {end:,}, right behind the one before it")
        needed = offset + tensor.size_bytes
        end = -(-needed // alignment) * alignment
        tensors.append(tensor)
    data_start = -(-reader.offset // alignment) * alignment
    if tensors and data_start + needed > reader.size_bytes:
        raise reader.cut_off("its tensors", data_start + needed)
    return tensors


def _tensor(reader: _Reader, name: str, shape: list[int]) -> Tensor:
    kind = reader.number("<I", f"the type of {name}")
    if kind not in TENSOR_TYPES:
        raise reader.error(f"the type of {name} = {kind}, allowed are {', '.join(map(str, TENSOR_TYPES))}")
    row = shape[0] if shape else 1
    if row % TENSOR_TYPES[kind].per_block:
        raise reader.error(f"a row of {name} = {row:,} values, allowed are multiples of {TENSOR_TYPES[kind].per_block}")
    values = 1
    for size in shape:
        values *= size
    if values > MAX_TENSOR_VALUES:
        raise reader.error(f"the size of {name} = {values:,} values, allowed are 0 to {MAX_TENSOR_VALUES:,}")
    return Tensor(name, kind, values, TENSOR_TYPES[kind].size_bytes(values))
