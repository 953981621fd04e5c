"""The limits of CUDA's Multi-Process Service: asked when settings are read, and again when a worker starts.

Source: NVIDIA, "Multi-Process Service", appendix "Tools and Interface Reference".
"""

from __future__ import annotations

LEAST_MIB = 512
PERCENT = "a whole number from 1 to 100"


def refused_percent(percent: int) -> str:
    """Why this share of a GPU's threads cannot be; "" if it can."""
    if percent == 0:
        return f"0 would leave the worker no thread at all; {PERCENT}, or switch MPS off with mps.enabled"
    return "" if 1 <= percent <= 100 else PERCENT


def refused_memory(mib: int, total_mib: int | None = None) -> str:
    """Why this much of a device's memory cannot be; "" if it can. `total_mib`: what it has, None where unknown."""
    if mib >= LEAST_MIB and (total_mib is None or mib <= total_mib):
        return ""
    upper = "" if total_mib is None else f" to {total_mib:,}, all that the device has"
    return f"a whole number of MiB from {LEAST_MIB}{upper}"
