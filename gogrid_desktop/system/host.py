"""Which adapters this system has: the only place that asks what platform it is."""

from __future__ import annotations

import sys
from pathlib import Path

from gogrid_desktop.system.gpu import GpuProbe
from gogrid_desktop.system.idle import IdleProbe
from gogrid_desktop.system.secrets import SecretStore
from gogrid_desktop.system.secrets.either import EitherSecrets
from gogrid_desktop.system.secrets.file import FileSecrets
from gogrid_desktop.system.secrets.system_keyring import KeyringSecrets


def idle_probes() -> tuple[IdleProbe, ...]:
    """The sources of idle time, the best first."""
    if sys.platform == "linux":
        from gogrid_desktop.system.idle.x11 import X11Idle

        return (X11Idle(),)
    if sys.platform == "win32":
        import ctypes

        from gogrid_desktop.system.idle.windows import WindowsIdle

        return (WindowsIdle(ctypes.windll),)
    if sys.platform == "darwin":
        import ctypes

        from gogrid_desktop.system.idle.macos import FRAMEWORK, MacIdle

        return (MacIdle(ctypes.CDLL(FRAMEWORK)),)
    from gogrid_desktop.system.idle.null import NullIdle

    return (NullIdle(),)


def gpu_probe() -> GpuProbe:
    """The source of facts about GPUs."""
    if sys.platform == "darwin":
        from gogrid_desktop.system.gpu.null import NullGpu

        return NullGpu()
    from gogrid_desktop.system.gpu.nvml import NvmlGpu

    return NvmlGpu()


def tray() -> str:
    """Whether there is a tray: "found", "absent", "no desktop" or "unknown"."""
    if sys.platform == "linux":
        from gogrid_desktop.system.tray import x11_tray

        return x11_tray().value
    return "found"


def secret_store(state_folder: Path, *, allow_plaintext: bool) -> SecretStore:
    """The system keyring; with `allow_plaintext` a file (0600) in `state_folder` where no keyring answers."""
    system = KeyringSecrets()
    return EitherSecrets(system, FileSecrets(state_folder / "secrets.json")) if allow_plaintext else system
