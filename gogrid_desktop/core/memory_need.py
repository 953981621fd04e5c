"""What a model takes of memory for a given context: weights, cache of keys and values, and the buffer for computing.

Weights and cache follow from the facts of the file exactly. The buffer is best measured (`worker/measure.py`); the
formula here is for where nothing was measured, and lies above what llama.cpp 0.3.36 measures for the models tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gogrid_desktop.core.model_facts import ModelFacts

MIB = 2**20
GIB = 2**30
#: llama.cpp rounds the cells of a context up to this (`n_ctx` in `src/llama-context.cpp`).
CELL_STEP = 256
#: Room that the alignment of a layer's tensors can take, and rows that CUDA pads to 512 values.
LAYER_SLACK_BYTES = 64 * 1024
_STATE_BYTES = 4
_Q8_BLOCK, _Q8_BLOCK_BYTES = 32, 34
#: Heads for which every GPU backend has flash attention (`ggml_cuda_get_best_fattn_kernel`).
_FLASH_HEADS = frozenset({64, 80, 96, 112, 128, 256})
_COMPUTE_SLACK_BYTES = 8 * MIB


#: On a CPU a long prompt is read aside, in a cache of its own, if what it fills is no more than this. To be moved it is
#: there once more.
ASIDE_BYTES = 2**28


class KvType(StrEnum):
    """How keys and values are kept: 2 bytes each, or 34 bytes for 32 of them."""

    F16 = "f16"
    Q8_0 = "q8_0"


@dataclass(frozen=True, slots=True)
class ComputeCost:
    """The buffer for computing, as a straight line over the cells of the context."""

    fixed_bytes: int
    bytes_per_1024_cells: int

    def at(self, cells: int) -> int:
        """Bytes for a context of so many cells, rounded up."""
        return self.fixed_bytes + -(-self.bytes_per_1024_cells * cells // 1024)

    def plus(self, more_bytes: int) -> ComputeCost:
        """The same with so much more for every context; never less than nothing."""
        return ComputeCost(max(0, self.fixed_bytes + more_bytes), self.bytes_per_1024_cells)


def line_through(first: tuple[int, int], second: tuple[int, int]) -> ComputeCost:
    """From two measurements as (cells, bytes).

    The buffer is the peak over the steps of a computation, each of them a straight line over the cells. The peak is
    convex, so that the line between two measured ends is nowhere below what lies between them.
    """
    (cells_a, bytes_a), (cells_b, bytes_b) = sorted((first, second))
    rise = max(0, bytes_b - bytes_a) * 1024
    slope = -(-rise // (cells_b - cells_a)) if cells_b > cells_a else 0
    line = ComputeCost(0, slope)
    return line.plus(max(bytes_a - line.at(cells_a), bytes_b - line.at(cells_b)) + 1)


def round_up_cells(cells: int) -> int:
    return -(-cells // CELL_STEP) * CELL_STEP


def cache_bytes(facts: ModelFacts, layer: int, cells: int, slots: int, kv_type: KvType) -> int:
    """Of one layer: keys and values of all cells, and the state of each sequence where the layer is recurrent.

    A file does not always say which of its layers are recurrent; then each counts as both.
    """
    state = facts.recurrent_values * _STATE_BYTES * slots
    if not facts.caches:
        return state
    heads = facts.kv_heads[layer]
    row = _row_bytes(heads * facts.key_length, kv_type) + _row_bytes(heads * facts.value_length, kv_type)
    return row * cells + state


def _row_bytes(values: int, kv_type: KvType) -> int:
    if kv_type is KvType.F16:
        return 2 * values
    return -(-values // _Q8_BLOCK) * _Q8_BLOCK_BYTES


def kv_types(facts: ModelFacts) -> tuple[KvType, ...]:
    """The best first. llama.cpp quantizes the cache only with flash attention, and only heads of whole blocks."""
    sizes = (facts.key_length, facts.value_length)
    if facts.caches and has_flash_attention(facts) and not any(size % _Q8_BLOCK for size in sizes):
        return KvType.F16, KvType.Q8_0
    return (KvType.F16,)


def has_flash_attention(facts: ModelFacts) -> bool:
    """Whether every backend computes attention without the whole matrix of scores."""
    return facts.key_length == facts.value_length and facts.key_length in _FLASH_HEADS


def scratch_bytes(facts: ModelFacts, cells: int, kv_type: KvType) -> int:
    """What a GPU takes beside the buffer: a quantized cache is unpacked for the longest layer at a time."""
    if kv_type is KvType.F16 or not facts.caches:
        return 0
    return max(facts.kv_heads) * (facts.key_length + facts.value_length) * 2 * cells


def compute_at_most(facts: ModelFacts, rows: int, outputs: int) -> ComputeCost:
    """A bound for a step of `rows` tokens, of which `outputs` have their logits or embeddings wanted.

    Of each row there are four to five rows of the feed-forward network, some of attention, and a part of the state of
    recurrent layers at once; of each pair of row and cell there is the mask (2 bytes, 4 without flash attention), and
    without flash attention the scores of all heads (4 bytes).
    """
    heads = max(facts.heads)
    of_row = 5 * _width(facts) + 8 * facts.embedding + 3 * heads * (facts.key_length + facts.value_length)
    of_row += facts.experts + facts.recurrent_values // 2
    of_output = facts.vocabulary + facts.embedding + 2 * facts.recurrent_values
    of_cell = 2 if has_flash_attention(facts) else 4 + 2 + 4 * heads
    if facts.sliding_window:
        of_cell += 4  # a mask more
    return ComputeCost(4 * (rows * of_row + outputs * of_output) + _COMPUTE_SLACK_BYTES, of_cell * rows * 1024)


def _width(facts: ModelFacts) -> int:
    """Of the feed-forward network that one token passes: a layer of experts is as wide as those that run."""
    dense = max(facts.feed_forward)
    experts = (facts.expert_feed_forward or dense) * facts.experts_used + facts.shared_feed_forward
    return max(dense, experts)
