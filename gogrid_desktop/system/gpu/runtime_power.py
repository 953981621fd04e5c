"""Whether all NVIDIA GPUs are asleep: on a laptop a question to the driver would wake them.

Source: the kernel's Documentation/ABI/testing/sysfs-devices-power (`runtime_status`) and sysfs-bus-pci.
"""

from __future__ import annotations

from pathlib import Path

_NVIDIA, _DISPLAY = "0x10de", "0x03"


def asleep(root: Path = Path("/sys")) -> bool:
    """True where there are such GPUs and each of them is suspended. Wakes none."""
    found = [
        _text(device / "power/runtime_status")
        for device in (root / "bus/pci/devices").glob("*")
        if _text(device / "vendor") == _NVIDIA and _text(device / "class").startswith(_DISPLAY)
    ]
    return bool(found) and all(status == "suspended" for status in found)


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
