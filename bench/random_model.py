"""A llama of about two gigabytes with random weights, as a GGUF file: so large that giving its memory back takes time.

The format is that of ggml's `docs/gguf.md` (version 3): header, key-value pairs, tensor infos, then the tensors, each
at a multiple of 32 bytes. Weights are F16. The vocabulary is the 256 bytes and three control tokens.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_WIDTH, _FEED_FORWARD, _HEADS, _LAYERS, _CONTEXT = 2048, 5632, 16, 20, 2048
_ALIGNMENT = 32
_UINT32, _INT32, _FLOAT32, _STRING, _ARRAY = 4, 5, 6, 8, 9
_F32, _F16 = 0, 1
_TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
_TOKEN_TYPES = [2, 3, 3, *([6] * 256)]  # unknown, control, byte

_Shape = tuple[int, ...]


def write_random_model(path: Path) -> int:
    """Write the file; returns its bytes."""
    tensors = list(_tensors())
    with path.open("wb") as file:
        file.write(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(_PAIRS)) + b"".join(_PAIRS))
        offset = 0
        for name, shape in tensors:
            file.write(_text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape))
            file.write(struct.pack("<IQ", _type(shape), offset))
            offset += _padded(_size(shape))
        file.write(bytes(-file.tell() % _ALIGNMENT))
        draw = np.random.default_rng(1)
        block = (draw.standard_normal(_WIDTH * _FEED_FORWARD, dtype=np.float32) * 0.02).astype(np.float16).tobytes()
        for _, shape in tensors:
            data = np.ones(shape, np.float32).tobytes() if _type(shape) == _F32 else block[: _size(shape)]
            file.write(data + bytes(_padded(len(data)) - len(data)))
        return file.tell()


def _tensors() -> Iterator[tuple[str, _Shape]]:
    """Names and shapes, the fastest dimension first."""
    yield "token_embd.weight", (_WIDTH, len(_TOKENS))
    for layer in range(_LAYERS):
        yield f"blk.{layer}.attn_norm.weight", (_WIDTH,)
        for part in ("q", "k", "v", "output"):
            yield f"blk.{layer}.attn_{part}.weight", (_WIDTH, _WIDTH)
        yield f"blk.{layer}.ffn_norm.weight", (_WIDTH,)
        yield f"blk.{layer}.ffn_gate.weight", (_WIDTH, _FEED_FORWARD)
        yield f"blk.{layer}.ffn_up.weight", (_WIDTH, _FEED_FORWARD)
        yield f"blk.{layer}.ffn_down.weight", (_FEED_FORWARD, _WIDTH)
    yield "output_norm.weight", (_WIDTH,)
    yield "output.weight", (_WIDTH, len(_TOKENS))


def _type(shape: _Shape) -> int:
    return _F32 if len(shape) == 1 else _F16  # llama.cpp wants its norms in F32


def _size(shape: _Shape) -> int:
    return math.prod(shape) * (4 if _type(shape) == _F32 else 2)


def _padded(size: int) -> int:
    return size + -size % _ALIGNMENT


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _pair(key: str, value: int | float | str) -> bytes:
    match value:
        case str():
            return _text(key) + struct.pack("<I", _STRING) + _text(value)
        case int():
            return _text(key) + struct.pack("<II", _UINT32, value)
    return _text(key) + struct.pack("<If", _FLOAT32, value)


def _list(key: str, kind: int, items: list[bytes]) -> bytes:
    return _text(key) + struct.pack("<IIQ", _ARRAY, kind, len(items)) + b"".join(items)


_PAIRS = [
    _pair("general.architecture", "llama"),
    _pair("general.file_type", 1),
    _pair("general.alignment", _ALIGNMENT),
    _pair("llama.block_count", _LAYERS),
    _pair("llama.context_length", _CONTEXT),
    _pair("llama.embedding_length", _WIDTH),
    _pair("llama.feed_forward_length", _FEED_FORWARD),
    _pair("llama.attention.head_count", _HEADS),
    _pair("llama.attention.head_count_kv", _HEADS),
    _pair("llama.attention.layer_norm_rms_epsilon", 1e-5),
    _pair("llama.rope.dimension_count", _WIDTH // _HEADS),
    _pair("llama.vocab_size", len(_TOKENS)),
    _pair("tokenizer.ggml.model", "llama"),
    _pair("tokenizer.ggml.bos_token_id", 1),
    _pair("tokenizer.ggml.eos_token_id", 2),
    _pair("tokenizer.ggml.unknown_token_id", 0),
    _list("tokenizer.ggml.tokens", _STRING, [_text(token) for token in _TOKENS]),
    _list("tokenizer.ggml.scores", _FLOAT32, [struct.pack("<f", 0.0) for _ in _TOKENS]),
    _list("tokenizer.ggml.token_type", _INT32, [struct.pack("<i", kind) for kind in _TOKEN_TYPES]),
]
