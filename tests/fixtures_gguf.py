"""Writes GGUF files as a test needs them: real in every header, with data that is a hole in the file.

`model` makes one of the shape that llama.cpp can load without reading its data; the pieces below it make broken ones.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gogrid_desktop.core.quantization import TENSOR_TYPES

ALIGNMENT = 32
F32, F16, Q4_0, Q8_0, Q4_K, Q6_K = 0, 1, 2, 8, 12, 14

TensorRow = tuple[str, Sequence[int], int]  # name, shape, type


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def uint32(key: str, value: int) -> bytes:
    return entry(key, 4, struct.pack("<I", value))


def uint32s(key: str, values: Sequence[int]) -> bytes:
    return entry(key, 9, struct.pack(f"<IQ{len(values)}I", 4, len(values), *values))


def string(key: str, value: str) -> bytes:
    return entry(key, 8, text(value))


def strings(key: str, values: Sequence[str]) -> bytes:
    return entry(key, 9, struct.pack("<IQ", 8, len(values)) + b"".join(map(text, values)))


def size_bytes(shape: Sequence[int], kind: int) -> int:
    values = 1
    for size in shape:
        values *= size
    return TENSOR_TYPES[kind].size_bytes(values)


def file_of(entries: Sequence[bytes], tensors: Sequence[TensorRow], version: int = 3) -> tuple[bytes, int]:
    """The bytes of the header with its padding, and how long the data is."""
    rows = b""
    end = length = 0
    for name, shape, kind in tensors:
        rows += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, end)
        length = end + size_bytes(shape, kind)
        end = -(-length // ALIGNMENT) * ALIGNMENT
    header = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries)) + b"".join(entries) + rows
    return header + bytes(-len(header) % ALIGNMENT), end


@dataclass(frozen=True, slots=True)
class Shape:
    """A dense transformer of llama's kind. `kind`: the type of its matrices; `extra`: more metadata."""

    layers: int = 2
    embedding: int = 256
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 512
    vocabulary: int = 300
    context: int = 8192
    kind: int = Q4_K
    file_type: int | None = 15
    tied: bool = False
    name: str = "Tiny"
    architecture: str = "llama"

    def entries(self) -> list[bytes]:
        tokens = [f"<0x{i:02X}>" if i < 256 else f"t{i}" for i in range(self.vocabulary)]
        a = self.architecture
        entries = [
            string("general.architecture", a),
            string("general.name", self.name),
            uint32(f"{a}.block_count", self.layers),
            uint32(f"{a}.context_length", self.context),
            uint32(f"{a}.embedding_length", self.embedding),
            uint32(f"{a}.feed_forward_length", self.feed_forward),
            uint32(f"{a}.attention.head_count", self.heads),
            uint32(f"{a}.attention.head_count_kv", self.kv_heads),
            entry(f"{a}.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5)),
            string("tokenizer.ggml.model", "llama"),
            strings("tokenizer.ggml.tokens", tokens),
            entry(
                "tokenizer.ggml.scores", 9, struct.pack(f"<IQ{len(tokens)}f", 6, len(tokens), *([0.0] * len(tokens)))
            ),
            entry(
                "tokenizer.ggml.token_type", 9, struct.pack(f"<IQ{len(tokens)}i", 5, len(tokens), *([1] * len(tokens)))
            ),
            string("tokenizer.chat_template", "{{ messages }}"),
        ]
        return entries if self.file_type is None else [*entries, uint32("general.file_type", self.file_type)]

    def tensors(self) -> list[TensorRow]:
        head = self.embedding // self.heads
        kv = head * self.kv_heads
        e, f, k = self.embedding, self.feed_forward, self.kind
        rows: list[TensorRow] = [("token_embd.weight", (e, self.vocabulary), k)]
        for i in range(self.layers):
            rows += [
                (f"blk.{i}.attn_norm.weight", (e,), F32),
                (f"blk.{i}.attn_q.weight", (e, e), k),
                (f"blk.{i}.attn_k.weight", (e, kv), k),
                (f"blk.{i}.attn_v.weight", (e, kv), k),
                (f"blk.{i}.attn_output.weight", (e, e), k),
                (f"blk.{i}.ffn_norm.weight", (e,), F32),
                (f"blk.{i}.ffn_gate.weight", (e, f), k),
                (f"blk.{i}.ffn_up.weight", (e, f), k),
                (f"blk.{i}.ffn_down.weight", (f, e), k),
            ]
        rows.append(("output_norm.weight", (e,), F32))
        return rows if self.tied else [*rows, ("output.weight", (e, self.vocabulary), k)]

    def write(self, path: Path, extra: Sequence[bytes] = (), without: str = "") -> Path:
        """Write it; its data takes no room on the disk. `without`: leave out the entry of this key."""
        entries = [e for e in self.entries() if not without or not e.startswith(text(without))]
        return _write(path, [*entries, *extra], self.tensors())


#: About the size and make of well-known models, for planning.
SHAPES: Mapping[str, Shape] = {
    "tiny": Shape(),
    "1b": Shape(16, 2048, 32, 8, 8192, 128_256, 131_072, tied=True, name="One"),
    "8b": Shape(32, 4096, 32, 8, 14_336, 128_256, 131_072, name="Eight"),
    "8b-8bit": Shape(32, 4096, 32, 8, 14_336, 128_256, 131_072, kind=Q8_0, file_type=7, name="Eight"),
    "70b": Shape(80, 8192, 64, 8, 28_672, 128_256, 131_072, name="Seventy"),
}


def write_experts(path: Path) -> Path:
    """A mixture of 16 experts of which 4 run, beside the same attention."""
    shape = Shape(4, 512, 8, 2, 1024, 512)
    rows: list[TensorRow] = []
    for name, dims, kind in shape.tensors():
        if "ffn_gate" in name:
            rows.append((name.replace("ffn_gate", "ffn_gate_inp"), (512, 16), F32))
        if "ffn_" in name and "norm" not in name:
            name, dims = name.replace(".weight", "_exps.weight"), (*dims, 16)
        rows.append((name, dims, kind))
    return _write(
        path, [*shape.entries(), uint32("llama.expert_count", 16), uint32("llama.expert_used_count", 4)], rows
    )


def write_recurrent(path: Path) -> Path:
    """A model of Mamba's kind, with a state in place of a cache."""
    width, inner, state, rank = 512, 1024, 16, 32
    shape = Shape(4, width, 0, 0, 0, 512, architecture="mamba", tied=True)
    rows: list[TensorRow] = [("token_embd.weight", (width, 512), Q8_0)]
    for i in range(4):
        rows += [
            (f"blk.{i}.attn_norm.weight", (width,), F32),
            (f"blk.{i}.ssm_in.weight", (width, 2 * inner), Q8_0),
            (f"blk.{i}.ssm_conv1d.weight", (4, inner), F32),
            (f"blk.{i}.ssm_conv1d.bias", (inner,), F32),
            (f"blk.{i}.ssm_x.weight", (inner, rank + 2 * state), Q8_0),
            (f"blk.{i}.ssm_dt.weight", (rank, inner), Q8_0),
            (f"blk.{i}.ssm_dt.bias", (inner,), F32),
            (f"blk.{i}.ssm_a", (state, inner), F32),
            (f"blk.{i}.ssm_d", (inner,), F32),
            (f"blk.{i}.ssm_out.weight", (inner, width), Q8_0),
        ]
    sizes = {"conv_kernel": 4, "inner_size": inner, "state_size": state, "time_step_rank": rank}
    entries = [*shape.entries(), *(uint32(f"mamba.ssm.{key}", value) for key, value in sizes.items())]
    return _write(path, entries, [*rows, ("output_norm.weight", (width,), F32)])


def _write(path: Path, entries: Sequence[bytes], rows: Sequence[TensorRow]) -> Path:
    header, length = file_of(entries, rows)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + length)
    return path


def write_bert(path: Path, words: Sequence[str] = ("hello", "world", "cat", "tax")) -> None:
    """A tiny embedding model of BERT's kind, with random weights and mean pooling, that llama.cpp can load and run."""
    width, wide, context = 32, 64, 128
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"\u2581{word}" for word in words)]
    entries = [
        string("general.architecture", "bert"),
        string("general.name", "Tiny BERT"),
        uint32("bert.block_count", 1),
        uint32("bert.context_length", context),
        uint32("bert.embedding_length", width),
        uint32("bert.feed_forward_length", wide),
        uint32("bert.attention.head_count", 2),
        entry("bert.attention.layer_norm_epsilon", 6, struct.pack("<f", 1e-12)),
        entry("bert.attention.causal", 7, b"\0"),
        uint32("bert.pooling_type", 1),
        uint32("tokenizer.ggml.token_type_count", 2),
        string("tokenizer.ggml.model", "bert"),
        strings("tokenizer.ggml.tokens", tokens),
        uint32("tokenizer.ggml.unknown_token_id", 1),
        uint32("tokenizer.ggml.bos_token_id", 2),
        uint32("tokenizer.ggml.cls_token_id", 2),
        uint32("tokenizer.ggml.seperator_token_id", 3),
        uint32("tokenizer.ggml.padding_token_id", 0),
    ]
    matrices = {"attn_q": width, "attn_k": width, "attn_v": width, "attn_output": width, "ffn_up": wide}
    tensors: list[TensorRow] = [
        ("token_embd.weight", (width, len(tokens)), F32),
        ("token_types.weight", (width, 2), F32),
        ("position_embd.weight", (width, context), F32),
        ("token_embd_norm.weight", (width,), F32),
        ("token_embd_norm.bias", (width,), F32),
        *((f"blk.0.{name}.weight", (width, out), F32) for name, out in matrices.items()),
        *((f"blk.0.{name}.bias", (out,), F32) for name, out in matrices.items()),
        ("blk.0.ffn_down.weight", (wide, width), F32),
        ("blk.0.ffn_down.bias", (width,), F32),
        *(
            (f"blk.0.{name}.{part}", (width,), F32)
            for name in ("attn_output_norm", "layer_output_norm")
            for part in ("weight", "bias")
        ),
    ]
    header, length = file_of(entries, tensors)
    dice = random.Random(3)
    path.write_bytes(header + struct.pack(f"<{length // 4}f", *(dice.uniform(-1, 1) for _ in range(length // 4))))
