"""The header of a model file: read right, and never trusted."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from fixtures_gguf import entry, string, strings, text, uint32, uint32s
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gogrid_desktop.errors import ModelFileError
from gogrid_desktop.gguf import MAX_LIST, GgufHeader, read_header

DATA_BYTES = 64 * 4  # one tensor of 8 x 8 32-bit floats


def model_file(
    *, extra: tuple[bytes, ...] = (), kind: int = 0, offset: int = 0, version: int = 3, tensor: str = "blk.0.weights"
) -> bytes:
    entries = (
        string("general.architecture", "llama"),
        string("general.name", "Tiny"),
        uint32("llama.context_length", 2048),
        uint32("llama.block_count", 2),
        uint32("llama.embedding_length", 64),
        uint32("llama.attention.head_count", 4),
        uint32s("llama.attention.head_count_kv", (2, 0)),
        string("tokenizer.chat_template", "{{ messages }}"),
        strings("tokenizer.ggml.tokens", ("a", "b", "漢")),
        entry("tokenizer.ggml.scores", 9, struct.pack("<IQ3f", 6, 3, 1, 2, 3)),
        entry("llama.rope", 6, struct.pack("<f", 0.5)),
        entry("llama.flag", 7, b"\x01"),
        *extra,
    )
    row = text(tensor) + struct.pack("<IQQIQ", 2, 8, 8, kind, offset)
    header = b"GGUF" + struct.pack("<IQQ", version, 1, len(entries)) + b"".join(entries) + row
    return header + bytes(-len(header) % 32) + bytes(DATA_BYTES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def read(folder: Path, data: bytes) -> GgufHeader:
    path = folder / "model.gguf"
    path.write_bytes(data)
    return read_header(path)


@pytest.mark.parametrize("version", [2, 3])
def test_a_header_says_what_the_model_is(folder: Path, version: int) -> None:
    header = read(folder, model_file(version=version))
    assert (header.name, header.architecture, header.trained_context) == ("Tiny", "llama", 2048)
    assert (header.template, header.tensors, header.size_bytes) == ("{{ messages }}", 1, len(model_file()))
    assert (header.metadata["llama.rope"], header.metadata["llama.flag"]) == (0.5, True)
    assert header.metadata["llama.attention.head_count_kv"] == (2, 0)
    assert "tokenizer.ggml.tokens" not in header.metadata
    assert (header.facts.vocabulary, header.facts.kv_heads, header.facts.layers) == (3, (2, 0), 2)


def test_a_file_cut_off_at_any_byte_is_refused(folder: Path) -> None:
    data = model_file()
    for length in range(len(data)):
        with pytest.raises(ModelFileError):
            read(folder, data[:length])


def test_a_cut_off_file_is_told_apart_with_both_lengths(folder: Path) -> None:
    data = model_file()
    with pytest.raises(ModelFileError, match=rf"cut off in its tensors: it has {len(data) - 1} bytes and needs"):
        read(folder, data[:-1])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(model_file()) - DATA_BYTES - 1), st.integers(0, 255)), max_size=6))
def test_changed_bytes_give_a_header_or_a_clear_error(folder: Path, changes: list[tuple[int, int]]) -> None:
    data = bytearray(model_file())
    for at, byte in changes:
        data[at] = byte
    try:
        read(folder, bytes(data))
    except ModelFileError as error:
        assert "model.gguf" in str(error)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_bytes_after_the_magic_number_give_a_header_or_a_clear_error(folder: Path, data: bytes) -> None:
    try:
        read(folder, b"GGUF" + struct.pack("<I", 3) + data)
    except ModelFileError as error:
        assert "model.gguf" in str(error)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no GGUF"),
        (b"PK\x03\x04 a zip file", "no GGUF"),
        (model_file(version=1), "version = 1, allowed are 2 and 3"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), "number of tensors = 9,223,372,036,854,775,808"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**40), "number of metadata entries"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(8), "general.architecture is missing"),
        (model_file(extra=(entry("x", 8, struct.pack("<Q", 2**62)),)), "the length of x"),
        (model_file(extra=(entry("x", 9, struct.pack("<IQ", 8, 2**62)),)), "the length of x"),
        (model_file(extra=(entry("x", 9, struct.pack("<IQ", 9, 1)),)), "the type of the values of x = 9"),
        (model_file(extra=(entry("x", 13, b""),)), "the type of x = 13"),
        (model_file(extra=(entry("general.alignment", 4, struct.pack("<I", 0)),)), "general.alignment = 0"),
        (model_file(offset=2**60), "cut off in its tensors"),
        (model_file(kind=27), "cut off in its tensors"),
        (model_file(offset=32), "the offset of blk.0.weights = 32, allowed is 0"),
        (model_file(kind=4), "the type of blk.0.weights = 4, allowed are 0, 1, 2"),
        (model_file(kind=12), "a row of blk.0.weights = 8 values, allowed are multiples of 256"),
        (model_file(tensor="w" * 64), "the length of a tensor's name = 64, allowed are 0 to 63"),
        (model_file(extra=(uint32("llama.block_count", 3),)), "the metadata key 'llama.block_count' is there twice"),
        (model_file(extra=(uint32("", 3),)), "a metadata key is empty"),
        (model_file(extra=(uint32("general.alignment", 48),)), "general.alignment = 48, allowed are powers of 2"),
        (model_file(extra=(entry("general.alignment", 10, bytes(8)),)), "the type of general.alignment = 10"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, data: bytes, says: str) -> None:
    with pytest.raises(ModelFileError, match=says):
        read(folder, data)


def test_a_list_that_claims_more_than_there_is_is_refused(folder: Path) -> None:
    header = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + entry("x", 9, struct.pack("<IQ", 8, MAX_LIST))
    with pytest.raises(ModelFileError, match="cut off in the length of a text of x"):
        read(folder, header + bytes(100))


@pytest.mark.parametrize("name", ["missing.gguf", "a\0b.gguf", "."])
def test_what_is_no_file_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ModelFileError):
        read_header(folder / name)
