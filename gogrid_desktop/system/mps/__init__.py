"""CUDA's Multi-Process Service, which shares a GPU among processes: its limits for one of them, and its daemon.

Source: NVIDIA, "Multi-Process Service", appendix "Tools and Interface Reference": `CUDA_MPS_PINNED_DEVICE_MEM_LIMIT`,
`CUDA_MPS_ACTIVE_THREAD_PERCENTAGE`, `CUDA_MPS_CLIENT_PRIORITY` (1: below normal), and nvidia-cuda-mps-control.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gogrid_desktop.core.mps import refused_memory, refused_percent
from gogrid_desktop.errors import BadInput
from gogrid_desktop.system.gpu import Gpu

PREFIX: Final = "CUDA_MPS_"
THREADS: Final = "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"
MEMORY: Final = "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"
PRIORITY: Final = "CUDA_MPS_CLIENT_PRIORITY"
BELOW_NORMAL: Final = "1"
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class MpsAnswer:
    """What the daemon says: its servers' process ids, or in `problem` why there is none."""

    servers: tuple[int, ...] = ()
    problem: str = ""


class MpsDaemon(Protocol):
    def ask(self) -> MpsAnswer:
        """Whether a daemon answers. Never raises; blocks for a few seconds at most."""
        ...

    def end_client(self, pid: int) -> bool:
        """Have the daemon end the GPU work of this client; False when it is none of its clients. As `ask` otherwise."""
        ...


def visible(gpus: Sequence[Gpu], listed: str | None) -> tuple[Gpu | None, ...]:
    """The devices that a process sees, in its own numbering. `listed`: CUDA_VISIBLE_DEVICES, None where it is not set.

    None stands for a device with a UUID that no GPU has, as a part of one (MIG) does. As for CUDA, the list ends at the
    first number that does not exist, and the beginning of a UUID will do.
    """
    gpus = [gpu for gpu in gpus if gpu.uuid]  # those of other makers have none, and CUDA does not count them
    if listed is None:
        return tuple(gpus)
    by_index = {gpu.index: gpu for gpu in gpus}
    seen: list[Gpu | None] = []
    for name in (name.strip() for name in listed.split(",")):
        if name.startswith(("GPU-", "MIG-")):
            seen.append(next((gpu for gpu in gpus if gpu.uuid.startswith(name)), None))
        elif name.isdigit() and int(name) in by_index:
            seen.append(by_index[int(name)])
        else:
            break
    return tuple(seen)


def variables(thread_percent: int, memory_mib: Sequence[int], devices: Sequence[Gpu | None]) -> dict[str, str]:
    """The environment of a client. `memory_mib`: one for all devices, or one for each; none: no limit.

    Raises BadInput for what no daemon would take, and for more memory than a device has.
    """
    if why := refused_percent(thread_percent):
        raise BadInput("mps.thread_percent", thread_percent, why)
    limits = list(memory_mib) * len(devices) if len(memory_mib) == 1 else list(memory_mib)
    if limits and len(limits) != len(devices):
        allowed = f"one value for all devices, or one for each of the {len(devices)} that the worker sees"
        raise BadInput("mps.memory_mib", ",".join(map(str, memory_mib)), allowed)
    for mib, device in zip(limits, devices, strict=bool(limits)):
        if why := refused_memory(mib, device.vram_total_bytes // _MIB if device is not None else None):
            raise BadInput("mps.memory_mib", mib, why)
    found = {THREADS: str(thread_percent), PRIORITY: BELOW_NORMAL}
    if limits:
        found[MEMORY] = ",".join(f"{index}={mib}M" for index, mib in enumerate(limits))
    return found
