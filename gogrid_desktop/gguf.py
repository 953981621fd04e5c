"""Reads the header of a GGUF file without llama.cpp, which aborts its process on some broken files.

Nothing that the file says is believed before it is checked against the file's length: no read is longer than what is
there, and lists of values are skipped, not kept. Format: `docs/gguf.md` of github.com/ggml-org/ggml.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gogrid_desktop.errors import ModelFileError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_HEADER_BYTES = 2**26
MAX_ENTRIES = 2**16
MAX_LIST = 2**22
MAX_STRING_BYTES = 2**22
MAX_NAME_BYTES = 2**16
MAX_ALIGNMENT = 2**16
MAX_DIMENSIONS = 4

Value = str | int | float | bool

_STRING, _LIST = 8, 9
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}

#: Type of a tensor: values in a block, bytes of a block (`ggml.h`, `ggml-common.h`).
_BLOCKS = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    9: (32, 36),  # Q8_1
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    15: (256, 292),  # Q8_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    19: (256, 50),  # IQ1_S
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    24: (1, 1),  # I8
    25: (1, 2),  # I16
    26: (1, 4),  # I32
    27: (1, 8),  # I64
    28: (1, 8),  # F64
    29: (256, 56),  # IQ1_M
    30: (1, 2),  # BF16
    34: (256, 54),  # TQ1_0
    35: (256, 66),  # TQ2_0
    39: (32, 17),  # MXFP4
}


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a model file says of itself. `metadata` has its single values; lists are left out."""

    name: str
    architecture: str
    trained_context: int
    template: str | None
    tensors: int
    size_bytes: int
    metadata: dict[str, Value]


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
    tensors = reader.bounded("<Q", "the number of tensors", MAX_ENTRIES)
    entries = reader.bounded("<Q", "the number of metadata entries", MAX_ENTRIES)
    metadata: dict[str, Value] = {}
    for _ in range(entries):
        key = reader.text("a metadata key", MAX_NAME_BYTES)
        value = _value(reader, key)
        if value is not None:
            metadata[key] = value
    _check_tensors(reader, tensors, metadata)
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise reader.error("general.architecture is missing")
    trained = metadata.get(f"{architecture}.context_length")
    template = metadata.get("tokenizer.chat_template")
    return GgufHeader(
        name=str(metadata.get("general.name", "")),
        architecture=architecture,
        trained_context=trained if isinstance(trained, int) else 0,
        template=template if isinstance(template, str) else None,
        tensors=tensors,
        size_bytes=reader.size_bytes,
        metadata=metadata,
    )


def _value(reader: _Reader, key: str) -> Value | None:
    """One value of the metadata; None for a list, which is skipped."""
    kind = reader.number("<I", f"the type of {key}")
    if kind == _STRING:
        return reader.text(key, MAX_STRING_BYTES)
    if kind == _LIST:
        _skip_list(reader, key)
        return None
    if kind not in _SCALARS:
        raise reader.error(f"the type of {key} = {kind}, allowed are 0 to 12")
    layout = _SCALARS[kind]
    value: int | float | bool = struct.unpack(layout, reader.take(struct.calcsize(layout), key))[0]
    return value


def _skip_list(reader: _Reader, key: str) -> None:
    kind = reader.number("<I", f"the type of the values of {key}")
    count = reader.bounded("<Q", f"the length of {key}", MAX_LIST)
    if kind in _SCALARS:
        reader.skip(count * struct.calcsize(_SCALARS[kind]), key)
    elif kind == _STRING:
        for _ in range(count):
            reader.skip(reader.bounded("<Q", f"the length of a text of {key}", MAX_STRING_BYTES), key)
    else:
        raise reader.error(f"the type of the values of {key} = {kind}, allowed are 0 to 8 and 10 to 12")


def _check_tensors(reader: _Reader, count: int, metadata: dict[str, Value]) -> None:
    needed = 0
    for _ in range(count):
        name = reader.text("a tensor's name", MAX_NAME_BYTES)
        values = 1
        for _ in range(reader.bounded("<I", f"the number of dimensions of {name}", MAX_DIMENSIONS)):
            values *= reader.number("<Q", f"a dimension of {name}")
        kind = reader.number("<I", f"the type of {name}")
        offset = reader.number("<Q", f"the offset of {name}")
        per_block, block_bytes = _BLOCKS.get(kind, (1, 0))  # of a type that came later, the offset alone is checked
        needed = max(needed, offset + -(-values // per_block) * block_bytes)
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= MAX_ALIGNMENT:
        raise reader.error(f"general.alignment = {alignment!r}, allowed are 1 to {MAX_ALIGNMENT}")
    data_start = -(-reader.offset // alignment) * alignment
    if data_start + needed > reader.size_bytes:
        raise reader.cut_off("its tensors", data_start + needed)
