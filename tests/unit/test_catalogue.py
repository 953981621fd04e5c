"""Adding model files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gogrid_desktop.coordinator.catalogue import model_of
from gogrid_desktop.errors import BadInput, ModelFileError

CONTENT = b"GGUF" + bytes(range(256)) * 40_000


def no_progress(done: int, total: int) -> None:
    return None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "Tiny-Q4.gguf"
    path.write_bytes(CONTENT)
    return path


def test_a_model_is_its_hash_and_named_after_its_file(file: Path) -> None:
    heard: list[tuple[int, int]] = []
    model = model_of(file, "", 2048, True, [], lambda done, total: heard.append((done, total)))
    assert (model.id, model.context, model.size_bytes) == ("Tiny-Q4", 2048, len(CONTENT))
    assert model.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert heard[-1] == (len(CONTENT), len(CONTENT))
    assert len(heard) > 1


def test_a_file_that_did_not_change_is_not_read_again(file: Path) -> None:
    first = model_of(file, "", 2048, True, [], no_progress)
    heard: list[int] = []
    again = model_of(file, "other", 4096, False, [first], lambda done, _: heard.append(done))
    assert (again.sha256, again.id, again.context, again.shared) == (first.sha256, "other", 4096, False)
    assert heard == []


def test_a_file_that_changed_is_another_model(file: Path) -> None:
    first = model_of(file, "", 2048, True, [], no_progress)
    file.write_bytes(CONTENT[:-1] + b"x")
    os.utime(file, (1, 1))
    assert model_of(file, "", 2048, True, [first], no_progress).sha256 != first.sha256


@pytest.mark.parametrize("content", [b"", b"GGU", b"not a model at all"])
def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="no GGUF"):
        model_of(path, "", 2048, True, [], no_progress)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ModelFileError, match="cannot be read"):
            model_of(path, "", 2048, True, [], no_progress)


@pytest.mark.parametrize("context", [-1, 0, 15, 2**24 + 1])
def test_a_context_out_of_range_is_refused(file: Path, context: int) -> None:
    with pytest.raises(BadInput, match="context"):
        model_of(file, "", context, True, [], no_progress)
