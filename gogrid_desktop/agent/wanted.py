"""How a model is to be held: what a plan comes to, and what a worker is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gogrid_desktop.worker import messages as w


@dataclass(frozen=True, slots=True)
class WantedModel:
    """A model file to hold in a worker. `total_context`: KV cells for all sequences together.

    `gpu_layers` as llama.cpp's n_gpu_layers, 0: no GPU is touched; `kv_type` "f16" or "q8_0"; `tensor_split`: one part
    for each of `gpus`, which are NVML's UUIDs.
    """

    path: str
    sha256: str
    context: int
    total_context: int
    slots: int
    threads: int = 0
    gpu_layers: int = 0
    kv_type: Literal["f16", "q8_0"] = "f16"
    tensor_split: tuple[float, ...] = ()
    gpus: tuple[str, ...] = ()
    mmap: bool = True
    mlock: bool = False
    numa: Literal["off", "distribute", "isolate", "numactl"] = "off"


def load_frame(plan: WantedModel) -> w.Load:
    """The command that makes a worker hold this plan."""
    return w.Load(
        path=plan.path,
        sha256=plan.sha256,
        context=plan.context,
        total_context=plan.total_context,
        slots=plan.slots,
        threads=plan.threads,
        gpu_layers=plan.gpu_layers,
        kv_type=plan.kv_type,
        tensor_split=plan.tensor_split,
        mmap=plan.mmap,
        mlock=plan.mlock,
        numa=plan.numa,
    )
