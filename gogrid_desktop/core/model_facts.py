"""What a model is made of, as far as it decides how much memory it takes: counted from the header of its file.

Keys are those of `docs/gguf.md` of github.com/ggml-org/ggml; how llama.cpp reads them: `src/llama-model.cpp` and
`src/llama-hparams.cpp` there. Where a header leaves something open, the larger answer is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gogrid_desktop.core.quantization import TENSOR_TYPES, Quantization, quantization_of

Value = str | int | float | bool
Values = Value | tuple[int, ...]

#: llama.cpp's own bound (`LLAMA_MAX_LAYERS`).
MAX_LAYERS = 512
MAX_SIZE = 2**31 - 1

POOLING = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}

#: These look at a whole text at once and keep nothing of it (`llama_model::create_memory`).
_NO_CACHE = frozenset(
    {
        "bert",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
    }
)
#: Tables that are looked up by token: llama.cpp never puts them on a GPU.
_INPUT = ("token_embd.", "token_types.", "position_embd.", "per_layer_token_embd.")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of the file's list of tensors. `kind` as in `TENSOR_TYPES`; bytes 0 where the type is unknown."""

    name: str
    kind: int
    values: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why no model can be made of a header: the key, its value, what is allowed."""

    field: str
    value: object
    allowed: str


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Sizes are counts; `*_bytes` are bytes of weights as they lie in the file.

    `heads`, `kv_heads`, `feed_forward`: one per layer. `expert_feed_forward` 0: experts are as wide as the layer says;
    `shared_feed_forward`: of the experts that always run. `recurrent_values`: numbers of 4 bytes that a layer keeps for
    each sequence instead of a cache. `input_bytes`: what always stays in the host's memory; `output_bytes`: of the
    output layer, the token embedding once more where the two are one tensor. `pooling` is empty for a model that has
    none of its own. `caches`: it keeps keys and values of past tokens.
    """

    architecture: str
    layers: int
    embedding: int
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    key_length: int
    value_length: int
    feed_forward: tuple[int, ...]
    experts: int
    experts_used: int
    expert_feed_forward: int
    shared_feed_forward: int
    sliding_window: int
    vocabulary: int
    trained_context: int
    pooling: str
    caches: bool
    recurrent_values: int
    parameters: int
    quantization: Quantization
    layer_bytes: tuple[int, ...]
    input_bytes: int
    output_bytes: int

    @property
    def embeds(self) -> bool:
        """It is made for embeddings: it pools, and answers nothing."""
        return self.pooling not in ("", "none", "rank")

    @property
    def weight_bytes(self) -> int:
        """Of all that is loaded, each layer once."""
        return sum(self.layer_bytes) + self.input_bytes + self.output_bytes


def facts_of(
    architecture: str, metadata: Mapping[str, Values], tensors: Iterable[Tensor], list_lengths: Mapping[str, int]
) -> ModelFacts | Unfit:
    """Read the facts. `list_lengths`: how long each list of the metadata is, for those that were not kept."""
    read = _Keys(architecture, metadata)
    layers = read.number("block_count", 1, MAX_LAYERS)
    if layers is None:
        return read.unfit("block_count", f"a whole number from 1 to {MAX_LAYERS}")
    embedding = read.number("embedding_length", 1, MAX_SIZE)
    if embedding is None:
        return read.unfit("embedding_length", f"a whole number from 1 to {MAX_SIZE:,}")
    per_layer: dict[str, tuple[int, ...]] = {}
    for key, otherwise in (
        ("attention.head_count", "0"),
        ("attention.head_count_kv", "attention.head_count"),
        ("feed_forward_length", "0"),
    ):
        row = read.per_layer(key, layers, per_layer.get(otherwise, (0,) * layers))
        if row is None:
            return read.unfit(key, f"a whole number from 0 to {MAX_SIZE:,}, or {layers} of them")
        per_layer[key] = row
    heads = per_layer["attention.head_count"]
    head_length = embedding // heads[0] if heads[0] else 0
    sizes: dict[str, int] = {}
    for key in _SIZES:
        size = read.number(key, 0, MAX_SIZE, 0)
        if size is None:
            return read.unfit(key, f"a whole number from 0 to {MAX_SIZE:,}")
        sizes[key] = size
    key_length = sizes["attention.key_length"] or head_length
    value_length = sizes["attention.value_length"] or head_length
    if sizes["attention.key_length_mla"] and sizes["attention.value_length_mla"]:
        value_length = 0  # keys and values are one compressed row
    tensors = tuple(tensors)
    weights = _weights(tensors, layers)
    if isinstance(weights, Unfit):
        return weights
    layer_bytes, input_bytes, output_bytes = weights
    file_type = metadata.get("general.file_type")
    return ModelFacts(
        architecture=architecture,
        layers=layers,
        embedding=embedding,
        heads=heads,
        kv_heads=per_layer["attention.head_count_kv"],
        key_length=max(key_length, sizes["attention.key_length_swa"]) + sizes["attention.indexer.key_length"],
        value_length=max(value_length, sizes["attention.value_length_swa"]),
        feed_forward=per_layer["feed_forward_length"],
        experts=sizes["expert_count"],
        experts_used=read.most("expert_used_count"),
        expert_feed_forward=sizes["expert_feed_forward_length"],
        shared_feed_forward=max(
            sizes["expert_shared_feed_forward_length"],
            sizes["expert_feed_forward_length"] * sizes["expert_shared_count"],
        ),
        sliding_window=sizes["attention.sliding_window"],
        vocabulary=sizes["vocab_size"] or list_lengths.get("tokenizer.ggml.tokens", 0),
        trained_context=sizes["context_length"],
        pooling=POOLING.get(sizes["pooling_type"], "") if f"{architecture}.pooling_type" in metadata else "",
        caches=architecture not in _NO_CACHE,
        recurrent_values=_recurrent_values(sizes, embedding, heads),
        parameters=sum(tensor.values for tensor in tensors),
        quantization=quantization_of(
            file_type if isinstance(file_type, int) else None, ((t.kind, t.values, t.size_bytes) for t in tensors)
        ),
        layer_bytes=layer_bytes,
        input_bytes=input_bytes,
        output_bytes=output_bytes,
    )


_SIZES = (
    "attention.key_length",
    "attention.value_length",
    "attention.key_length_mla",
    "attention.value_length_mla",
    "attention.key_length_swa",
    "attention.value_length_swa",
    "attention.indexer.key_length",
    "attention.sliding_window",
    "expert_count",
    "expert_shared_count",
    "expert_feed_forward_length",
    "expert_shared_feed_forward_length",
    "vocab_size",
    "context_length",
    "pooling_type",
    "ssm.conv_kernel",
    "ssm.inner_size",
    "ssm.state_size",
    "ssm.group_count",
    "wkv.head_size",
    "shortconv.l_cache",
    "kda.head_dim",
)


class _Keys:
    """Reads the keys of one architecture; a value of another type or out of bounds is None."""

    def __init__(self, architecture: str, metadata: Mapping[str, Values]) -> None:
        self._architecture = architecture
        self._metadata = metadata

    def number(self, key: str, least: int, most: int, otherwise: int | None = None) -> int | None:
        value = self._metadata.get(f"{self._architecture}.{key}", otherwise)
        if isinstance(value, tuple):  # a model with layers of different kinds: the largest counts
            value = max(value, default=otherwise)
        return value if type(value) is int and least <= value <= most else None

    def per_layer(self, key: str, layers: int, otherwise: tuple[int, ...]) -> tuple[int, ...] | None:
        value = self._metadata.get(f"{self._architecture}.{key}", otherwise)
        row = value if isinstance(value, tuple) else (value,) * layers
        whole = tuple(size for size in row if type(size) is int and 0 <= size <= MAX_SIZE)
        return whole if len(whole) == len(row) == layers else None

    def most(self, key: str) -> int:
        """The largest of a list, or the number itself; 0 where there is none or it is none."""
        return self.number(key, 0, MAX_SIZE, 0) or 0

    def unfit(self, key: str, allowed: str) -> Unfit:
        name = f"{self._architecture}.{key}"
        return Unfit(name, self._metadata.get(name), allowed)


def _recurrent_values(sizes: Mapping[str, int], embedding: int, heads: tuple[int, ...]) -> int:
    """Rows of convolution and of state that a recurrent layer keeps for one sequence (`n_embd_r`, `n_embd_s`)."""
    if sizes["wkv.head_size"]:
        return 2 * embedding + embedding * sizes["wkv.head_size"]
    if sizes["shortconv.l_cache"]:
        return embedding * (sizes["shortconv.l_cache"] - 1)
    kernel = max(0, sizes["ssm.conv_kernel"] - 1)
    if sizes["kda.head_dim"]:
        inner = max(heads) * sizes["kda.head_dim"]
        return 3 * (kernel or 3) * inner + inner * sizes["kda.head_dim"]
    inner, state = sizes["ssm.inner_size"], sizes["ssm.state_size"]
    return kernel * (inner + 2 * sizes["ssm.group_count"] * state) + state * inner


def _weights(tensors: tuple[Tensor, ...], layers: int) -> tuple[tuple[int, ...], int, int] | Unfit:
    """Bytes of each layer, of the input and of the output."""
    of_layer = [0] * layers
    input_bytes = output_bytes = embedding_bytes = 0
    has_output = False
    for tensor in tensors:
        if tensor.kind not in TENSOR_TYPES:
            return Unfit(f"the type of {tensor.name}", tensor.kind, "a type that is known")
        if tensor.name.startswith("blk."):
            number = tensor.name.split(".")[1]
            if not number.isascii() or not number.isdigit() or len(number) > 3 or int(number) >= layers:
                return Unfit("a tensor", tensor.name, f"blk.0 to blk.{layers - 1}, as block_count says")
            of_layer[int(number)] += tensor.size_bytes
        elif tensor.name.startswith(_INPUT):
            input_bytes += tensor.size_bytes
            if tensor.name == "token_embd.weight":
                embedding_bytes = tensor.size_bytes
        else:
            output_bytes += tensor.size_bytes
            has_output = has_output or tensor.name == "output.weight"
    if not has_output:
        output_bytes += embedding_bytes
    return tuple(of_layer), input_bytes, output_bytes
