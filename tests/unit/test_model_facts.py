"""What the header of a model file says of the model, and that no forged one says anything else than an error."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures_gguf import F16, F32, Q4_K, Q6_K, SHAPES, Shape, entry, file_of, size_bytes, string, text, uint32, uint32s
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gogrid_desktop.core.memory_need import KvType, cache_bytes
from gogrid_desktop.core.model_facts import ModelFacts
from gogrid_desktop.core.quantization import FILE_TYPES, TENSOR_TYPES, quantization_of
from gogrid_desktop.errors import ModelFileError
from gogrid_desktop.gguf import read_header

TINY = Shape(vocabulary=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("facts")


def facts(folder: Path, shape: Shape = TINY, *extra: bytes, without: str = "") -> ModelFacts:
    return read_header(shape.write(folder / "model.gguf", extra, without)).facts


def test_the_sizes_of_a_model_are_read(folder: Path) -> None:
    read = facts(folder, SHAPES["8b"])
    assert (read.architecture, read.layers, read.embedding, read.vocabulary) == ("llama", 32, 4096, 128_256)
    assert (read.heads, read.kv_heads) == ((32,) * 32, (8,) * 32)
    assert (read.key_length, read.value_length, read.feed_forward) == (128, 128, (14_336,) * 32)
    assert (read.trained_context, read.experts, read.sliding_window, read.pooling) == (131_072, 0, 0, "")
    assert not read.embeds and read.caches


def test_weights_are_counted_by_layer_input_and_output(folder: Path) -> None:
    shape = SHAPES["1b"]
    read = facts(folder, shape)
    of_layer = sum(size_bytes(dims, kind) for name, dims, kind in shape.tensors() if name.startswith("blk.7."))
    embedding = size_bytes((2048, 128_256), Q4_K)
    assert read.layer_bytes == (of_layer,) * 16
    assert read.input_bytes == embedding
    assert read.output_bytes == embedding + 4 * 2048  # tied: the embedding is the output layer too
    apart = facts(folder, replace(shape, tied=False))
    assert (apart.input_bytes, apart.output_bytes) == (read.input_bytes, read.output_bytes)


def test_lists_of_sizes_are_kept_layer_by_layer(folder: Path) -> None:
    read = facts_with_lists(folder)
    assert (read.kv_heads, read.feed_forward) == ((0, 4), (512, 1024))
    assert cache_bytes(read, 0, 1024, 1, KvType.F16) == 0
    assert cache_bytes(read, 1, 1024, 1, KvType.F16) == 1024 * 4 * (64 + 64) * 2
    assert cache_bytes(read, 1, 1024, 1, KvType.Q8_0) == 1024 * 4 * (64 + 64) * 34 // 32


def facts_with_lists(folder: Path) -> ModelFacts:
    left_out = ("llama.attention.head_count_kv", "llama.feed_forward_length")
    entries = [e for e in TINY.entries() if not e.startswith(tuple(map(text, left_out)))]
    lists = [uint32s(left_out[0], (0, 4)), uint32s(left_out[1], (512, 1024))]
    header, length = file_of([*entries, *lists], TINY.tensors())
    path = folder / "lists.gguf"
    path.write_bytes(header + bytes(length))
    return read_header(path).facts


def test_experts_windows_and_pooling_are_read(folder: Path) -> None:
    read = facts(
        folder,
        TINY,
        uint32("llama.expert_count", 8),
        uint32("llama.expert_used_count", 2),
        uint32("llama.expert_feed_forward_length", 128),
        uint32("llama.expert_shared_count", 3),
        uint32("llama.attention.sliding_window", 4096),
        uint32("llama.attention.key_length", 128),
        uint32("llama.attention.value_length", 96),
        uint32("llama.pooling_type", 1),
    )
    assert (read.experts, read.experts_used, read.sliding_window) == (8, 2, 4096)
    assert (read.expert_feed_forward, read.shared_feed_forward, read.feed_forward) == (128, 384, (512, 512))
    assert (read.key_length, read.value_length, read.pooling, read.embeds) == (128, 96, "mean", True)


def test_compressed_attention_keeps_one_row_for_keys_and_values(folder: Path) -> None:
    read = facts(
        folder,
        TINY,
        uint32("llama.attention.key_length", 576),
        uint32("llama.attention.value_length", 512),
        uint32("llama.attention.key_length_mla", 192),
        uint32("llama.attention.value_length_mla", 128),
    )
    assert (read.key_length, read.value_length) == (576, 0)


def test_a_recurrent_layer_keeps_a_state_for_each_sequence(folder: Path) -> None:
    read = facts(
        folder,
        TINY,
        uint32("llama.ssm.conv_kernel", 4),
        uint32("llama.ssm.inner_size", 1024),
        uint32("llama.ssm.state_size", 16),
    )
    values = 3 * 1024 + 16 * 1024
    assert read.recurrent_values == values
    several = cache_bytes(read, 0, 256, 5, KvType.F16) - cache_bytes(read, 0, 256, 1, KvType.F16)
    assert several == 4 * values * 4


def test_models_for_embeddings_that_keep_nothing_have_no_cache(folder: Path) -> None:
    read = facts(folder, replace(TINY, architecture="bert"), uint32("bert.pooling_type", 2))
    assert (read.caches, read.pooling, read.embeds) == (False, "cls", True)
    assert cache_bytes(read, 0, 4096, 8, KvType.F16) == 0


@pytest.mark.parametrize("key", ["llama.block_count", "llama.embedding_length"])
def test_a_model_without_its_sizes_is_refused(folder: Path, key: str) -> None:
    with pytest.raises(ModelFileError, match=f"{key} is missing, allowed is a whole number from 1"):
        facts(folder, TINY, without=key)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("llama.block_count", 0),
        ("llama.block_count", 513),
        ("llama.embedding_length", 0),
        ("llama.attention.head_count", 2**31),
        ("llama.context_length", 2**32 - 1),
        ("llama.feed_forward_length", 2**32 - 1),
    ],
)
def test_a_size_that_no_model_has_is_refused_by_name(folder: Path, key: str, value: int) -> None:
    with pytest.raises(ModelFileError, match=f"{key} = {value}, allowed is a whole number"):
        facts(folder, TINY, uint32(key, value), without=key)


def test_a_list_of_another_length_than_there_are_layers_is_refused(folder: Path) -> None:
    key = "llama.attention.head_count_kv"
    with pytest.raises(ModelFileError, match=rf"{key} = \(2, 2, 2\), allowed is a whole number .*, or 2 of them"):
        facts(folder, TINY, uint32s(key, (2, 2, 2)), without=key)


@pytest.mark.parametrize("name", ["blk.2.ffn_up.weight", "blk.x.weight", "blk.", "blk.²"])
def test_a_layer_that_the_model_does_not_have_is_refused(folder: Path, name: str) -> None:
    header, length = file_of(TINY.entries(), [*TINY.tensors(), (name, (256,), F32)])
    path = folder / "layer.gguf"
    path.write_bytes(header + bytes(length))
    with pytest.raises(ModelFileError, match=r"allowed is blk.0 to blk.1, as block_count says"):
        read_header(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_forged_header_of_a_real_shape_gives_facts_or_a_clear_error(folder: Path, data: st.DataObject) -> None:
    header, length = file_of(TINY.entries(), TINY.tensors())
    forged = bytearray(header)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(header) - 9))
        forged[at : at + 8] = data.draw(
            st.one_of(st.binary(min_size=1, max_size=8), st.integers(0, 2**64 - 1).map(lambda n: struct.pack("<Q", n)))
        ).ljust(1, b"\0")
    path = folder / "forged.gguf"
    with path.open("wb") as file:
        file.write(forged)
        file.truncate(len(forged) + length - data.draw(st.sampled_from([0, 0, 1])))
    try:
        read = read_header(path).facts
    except ModelFileError as error:
        assert "forged.gguf" in str(error)
        return
    assert 1 <= read.layers == len(read.layer_bytes) == len(read.kv_heads)
    assert 0 <= read.weight_bytes <= 2 * path.stat().st_size
    assert cache_bytes(read, 0, 2**20, 64, KvType.F16) >= 0


# --- quantization ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file_type", "kind", "name", "family"),
    [
        (2, 2, "Q4_0", "4-bit"),
        (3, 3, "Q4_1", "4-bit"),
        (14, 12, "Q4_K_S", "4-bit"),
        (15, 12, "Q4_K_M", "4-bit"),
        (30, 23, "IQ4_XS", "4-bit"),
        (25, 20, "IQ4_NL", "4-bit"),
        (38, 39, "MXFP4", "4-bit"),
        (7, 8, "Q8_0", "8-bit"),
        (18, 14, "Q6_K", "6-bit"),
        (1, 1, "F16", "F16"),
        (32, 30, "BF16", "BF16"),
        (0, 0, "F32", "F32"),
    ],
)
def test_the_families_that_people_know_are_named(file_type: int, kind: int, name: str, family: str) -> None:
    size = TENSOR_TYPES[kind].size_bytes(2**20)
    read = quantization_of(file_type, [(kind, 2**20, size), (F32, 4096, 4 * 4096)])
    assert (read.name, read.family, read.as_claimed) == (name, family, True)


def test_a_mixture_has_the_name_of_the_file_and_its_real_bits(folder: Path) -> None:
    rows = [(n, s, Q6_K if "down" in n else k) for n, s, k in TINY.tensors()]
    header, length = file_of(TINY.entries(), rows)
    path = folder / "mixed.gguf"
    path.write_bytes(header + bytes(length))
    read = read_header(path).facts.quantization
    assert (read.name, read.family, read.as_claimed) == ("Q4_K_M", "4-bit", True)
    assert 4.5 < read.bits_per_weight < 6.57


def test_a_file_that_claims_another_type_than_its_tensors_have_is_named_by_its_tensors(folder: Path) -> None:
    read = facts(folder, replace(TINY, kind=F16, file_type=15)).quantization
    assert (read.name, read.family, read.as_claimed) == ("F16", "F16", False)
    assert facts(folder, replace(TINY, kind=F16, file_type=None)).quantization.as_claimed


@given(st.one_of(st.none(), st.integers(-5, 2000)), st.lists(st.tuples(st.integers(-1, 60), st.integers(0, 2**63))))
def test_any_types_have_a_name_and_a_family(file_type: int | None, tensors: list[tuple[int, int]]) -> None:
    read = quantization_of(file_type, [(kind, values, values) for kind, values in tensors])
    assert read.name and read.family
    if file_type in FILE_TYPES and not tensors:
        assert read.name == FILE_TYPES[file_type][0]


def test_strings_in_place_of_sizes_are_refused(folder: Path) -> None:
    with pytest.raises(ModelFileError, match=r"llama.block_count = 'many', allowed is a whole number"):
        facts(folder, TINY, string("llama.block_count", "many"), without="llama.block_count")
    with pytest.raises(ModelFileError, match=r"llama.block_count = True"):
        facts(folder, TINY, entry("llama.block_count", 7, b"\x01"), without="llama.block_count")
