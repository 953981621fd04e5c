"""Recordings on disk: lines of JSON, packed where the name ends in .gz. None is ever written over."""

from __future__ import annotations

import errno
import gzip
import os
import zlib
from dataclasses import replace
from io import BufferedWriter
from pathlib import Path

from gogrid_desktop.core.recording import Recording, RecordingError, decode
from gogrid_desktop.errors import BadInput, GoGridError, StorageFull
from gogrid_desktop.paths import resource_folder

#: Unpacked, so much and no more: months of a busy computer.
LARGEST_BYTES = 2**30
#: What was recorded is on disk after so many lines.
FLUSH_EVERY = 60
ENDING = ".jsonl.gz"
NOT_ENDED = "The file was not ended; what is there was read."


def shipped_days() -> dict[str, Path]:
    """The days that come along, by their names."""
    return {path.name.removesuffix(ENDING): path for path in sorted(resource_folder("days").glob(f"*{ENDING}"))}


def find(name: str) -> Path:
    """A file, or one of the days that come along. Raises BadInput."""
    path, shipped = Path(name), shipped_days()
    if path.is_file() or (name not in shipped and path.exists()):
        return path
    if name not in shipped:
        raise BadInput("recording", name, f"a file made by gogrid record, or one of {', '.join(shipped)}")
    return shipped[name]


def read(path: Path) -> Recording:
    """Raises GoGridError, which names the line and what to do."""
    try:
        data = path.read_bytes()
        ended = True
        if path.name.endswith(".gz"):
            unpacked = zlib.decompressobj(wbits=31)  # with a header of gzip
            data, ended = unpacked.decompress(data, LARGEST_BYTES), unpacked.eof
            if unpacked.unconsumed_tail:
                raise GoGridError(f"{path} is too large to be a recording.", "Choose another file.")
        recording = decode(data.decode().removesuffix("\n").split("\n"))
    except OSError as error:
        raise GoGridError(f"{path} cannot be read: {error.strerror}.", "Choose a recording that can be.") from error
    except zlib.error as error:
        raise GoGridError(f"{path} is not packed by gzip, as its name says.", "Rename it, or unpack it.") from error
    except UnicodeDecodeError as error:
        raise GoGridError(f"{path} is no text.", "Choose a file made by: gogrid record") from error
    except RecordingError as error:
        raise GoGridError(f"{path}, line {error.line}: {error.problem}.", error.remedy) from error
    return recording if ended or recording.note else replace(recording, note=NOT_ENDED)


class RecordingFile:
    """A new file, for this user alone. Raises GoGridError, StorageFull."""

    def __init__(self, path: Path) -> None:
        self._path, self.lines = path, 0
        try:
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise GoGridError(
                f"{path} exists already.", "Choose another name: no recording is written over."
            ) from error
        except OSError as error:
            raise GoGridError(f"{path} cannot be made: {error.strerror}.", "Choose another place.") from error
        self._raw: BufferedWriter = os.fdopen(opened, "wb")
        self._file = gzip.GzipFile("", "wb", fileobj=self._raw) if path.name.endswith(".gz") else self._raw

    def write(self, line: str) -> None:
        try:
            self._file.write(line.encode() + b"\n")
            self.lines += 1
            if self._file is self._raw or self.lines % FLUSH_EVERY == 1:
                self._flush()
        except OSError as error:
            raise self._cannot(error) from error

    def close(self) -> None:
        try:
            if self._file is not self._raw:
                self._file.close()
            self._raw.close()
        except OSError as error:
            raise self._cannot(error) from error

    def _flush(self) -> None:
        self._file.flush()
        self._raw.flush()

    def _cannot(self, error: OSError) -> GoGridError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StorageFull(f"The disk that holds {self._path} is full.", "Free some space, and record anew.")
        return GoGridError(f"{self._path} cannot be written: {error.strerror}.", "Record to another place.")
