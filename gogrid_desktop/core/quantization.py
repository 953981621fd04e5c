"""How the weights of a model file are quantized: the types of tensors and files, and the family a person knows.

The numbers are those of `ggml.h` (tensor types), `ggml-common.h` (sizes of blocks) and `llama.h` (file types). A file's
own word for its type is believed only where its tensors agree with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TensorType:
    """`block_bytes` hold `per_block` values; `bits` is the nominal size of a value."""

    name: str
    per_block: int
    block_bytes: int
    bits: int

    def size_bytes(self, values: int) -> int:
        """Bytes of so many values, begun blocks counted whole."""
        return -(-values // self.per_block) * self.block_bytes


TENSOR_TYPES: dict[int, TensorType] = {
    0: TensorType("F32", 1, 4, 32),
    1: TensorType("F16", 1, 2, 16),
    2: TensorType("Q4_0", 32, 18, 4),
    3: TensorType("Q4_1", 32, 20, 4),
    6: TensorType("Q5_0", 32, 22, 5),
    7: TensorType("Q5_1", 32, 24, 5),
    8: TensorType("Q8_0", 32, 34, 8),
    9: TensorType("Q8_1", 32, 36, 8),
    10: TensorType("Q2_K", 256, 84, 2),
    11: TensorType("Q3_K", 256, 110, 3),
    12: TensorType("Q4_K", 256, 144, 4),
    13: TensorType("Q5_K", 256, 176, 5),
    14: TensorType("Q6_K", 256, 210, 6),
    15: TensorType("Q8_K", 256, 292, 8),
    16: TensorType("IQ2_XXS", 256, 66, 2),
    17: TensorType("IQ2_XS", 256, 74, 2),
    18: TensorType("IQ3_XXS", 256, 98, 3),
    19: TensorType("IQ1_S", 256, 50, 1),
    20: TensorType("IQ4_NL", 32, 18, 4),
    21: TensorType("IQ3_S", 256, 110, 3),
    22: TensorType("IQ2_S", 256, 82, 2),
    23: TensorType("IQ4_XS", 256, 136, 4),
    24: TensorType("I8", 1, 1, 8),
    25: TensorType("I16", 1, 2, 16),
    26: TensorType("I32", 1, 4, 32),
    27: TensorType("I64", 1, 8, 64),
    28: TensorType("F64", 1, 8, 64),
    29: TensorType("IQ1_M", 256, 56, 1),
    30: TensorType("BF16", 1, 2, 16),
    34: TensorType("TQ1_0", 256, 54, 1),
    35: TensorType("TQ2_0", 256, 66, 2),
    39: TensorType("MXFP4", 32, 17, 4),
    40: TensorType("NVFP4", 64, 36, 4),
    41: TensorType("Q1_0", 128, 18, 1),
    42: TensorType("Q2_0", 64, 18, 2),
}

#: `general.file_type`: the name, and the nominal bits of most of its weights.
FILE_TYPES: dict[int, tuple[str, int]] = {
    0: ("F32", 32),
    1: ("F16", 16),
    2: ("Q4_0", 4),
    3: ("Q4_1", 4),
    7: ("Q8_0", 8),
    8: ("Q5_0", 5),
    9: ("Q5_1", 5),
    10: ("Q2_K", 2),
    11: ("Q3_K_S", 3),
    12: ("Q3_K_M", 3),
    13: ("Q3_K_L", 3),
    14: ("Q4_K_S", 4),
    15: ("Q4_K_M", 4),
    16: ("Q5_K_S", 5),
    17: ("Q5_K_M", 5),
    18: ("Q6_K", 6),
    19: ("IQ2_XXS", 2),
    20: ("IQ2_XS", 2),
    21: ("Q2_K_S", 2),
    22: ("IQ3_XS", 3),
    23: ("IQ3_XXS", 3),
    24: ("IQ1_S", 1),
    25: ("IQ4_NL", 4),
    26: ("IQ3_S", 3),
    27: ("IQ3_M", 3),
    28: ("IQ2_S", 2),
    29: ("IQ2_M", 2),
    30: ("IQ4_XS", 4),
    31: ("IQ1_M", 1),
    32: ("BF16", 16),
    36: ("TQ1_0", 1),
    37: ("TQ2_0", 2),
    38: ("MXFP4", 4),
    39: ("NVFP4", 4),
    40: ("Q1_0", 1),
    41: ("Q2_0", 2),
}

#: A mixture like Q3_K_L has its name from most of its tensors, and others one step up.
_MIXED_BITS = 1


@dataclass(frozen=True, slots=True)
class Quantization:
    """`name`: "Q4_K_M"; `family`: "4-bit", "8-bit", "F16"; `bits_per_weight`: of all tensors together, measured.

    `as_claimed`: the file's own word for it fits its tensors (also where it says nothing).
    """

    name: str
    family: str
    bits_per_weight: float
    as_claimed: bool = True


def family(name: str, bits: int) -> str:
    """What a person calls it: "4-bit" for up to 8 bits, otherwise the name of the floating-point type."""
    return f"{bits}-bit" if bits <= 8 else name


def quantization_of(file_type: int | None, tensors: Iterable[tuple[int, int, int]]) -> Quantization:
    """From `general.file_type` and the tensors as (type, values, bytes).

    Only the type that most values have decides, because norms and biases are kept in F32 in every file.
    """
    values_of: dict[int, int] = {}
    all_values = all_bytes = 0
    for kind, values, size_bytes in tensors:
        values_of[kind] = values_of.get(kind, 0) + values
        all_values += values
        all_bytes += size_bytes
    bits_per_weight = round(8 * all_bytes / all_values, 2) if all_values else 0.0
    claimed = None if file_type is None else FILE_TYPES.get(file_type)
    if not values_of:
        name, bits = claimed or ("unknown", 0)
        return Quantization(name, family(name, bits) if claimed else "unknown", bits_per_weight)
    main = max(values_of, key=lambda kind: (values_of[kind], -kind))
    real = TENSOR_TYPES.get(main)
    if real is None:
        return Quantization(f"type {main}", "unknown", bits_per_weight, as_claimed=claimed is None)
    if claimed is not None and abs(claimed[1] - real.bits) <= _MIXED_BITS:
        return Quantization(claimed[0], family(*claimed), bits_per_weight)
    return Quantization(real.name, family(real.name, real.bits), bits_per_weight, as_claimed=claimed is None)
