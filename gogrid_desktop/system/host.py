"""Which adapters this system has: the only place that asks what platform it is."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from gogrid_desktop.system.affinity import Affinity
from gogrid_desktop.system.alone import Turn
from gogrid_desktop.system.attention import AttentionProbe
from gogrid_desktop.system.gpu import Gpu, GpuProbe
from gogrid_desktop.system.idle import IdleProbe
from gogrid_desktop.system.mps import MpsDaemon
from gogrid_desktop.system.network import NetworkProbe
from gogrid_desktop.system.power import PowerProbe
from gogrid_desktop.system.priority import Priority
from gogrid_desktop.system.ranker import SystemRanker
from gogrid_desktop.system.screen import ScreenProbe
from gogrid_desktop.system.secrets import SecretStore
from gogrid_desktop.system.session import SessionProbe

if TYPE_CHECKING:
    from gogrid_desktop.system.dbus import Bus
    from gogrid_desktop.system.gpu.watched import WatchedGpu


def idle_probes() -> tuple[IdleProbe, ...]:
    """The sources of idle time that may count in this kind of session, the best first; to be closed."""
    if sys.platform == "linux":
        from gogrid_desktop.system.idle.freedesktop import ScreenSaverIdle
        from gogrid_desktop.system.idle.gamepad import GamepadIdle
        from gogrid_desktop.system.idle.logind import LogindIdle
        from gogrid_desktop.system.idle.mutter import MutterIdle
        from gogrid_desktop.system.idle.wayland import WaylandIdle
        from gogrid_desktop.system.idle.x11 import X11Idle
        from gogrid_desktop.system.x11 import wayland_session

        session, anywhere = session_bus(), (GamepadIdle(), LogindIdle(system_bus(), os.getuid()))
        if wayland_session():
            return (WaylandIdle(), MutterIdle(session), *anywhere)
        return (X11Idle(), MutterIdle(session), ScreenSaverIdle(session), *anywhere)
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


def gpu_probe(patience_s: float = 1.5) -> WatchedGpu:
    """The source of facts about GPUs, in a process of its own. `patience_s`: the longest that a reading takes."""
    from gogrid_desktop.system.gpu.watched import Timing, WatchedGpu

    return WatchedGpu(timing=Timing(answer_s=patience_s))


def gpu_source(known: tuple[Gpu, ...] = ()) -> GpuProbe:
    """What `gpu_probe`'s process asks: the drivers themselves, which may hang. `known`: what was read before."""
    if sys.platform == "darwin":
        import ctypes

        from gogrid_desktop.system.gpu import macos as mac

        return mac.MacGpus(ctypes.CDLL(mac.IOKIT), ctypes.CDLL(mac.CORE_FOUNDATION))
    of_nvidia = tuple(gpu for gpu in known if gpu.uuid)
    if sys.platform == "linux":
        from gogrid_desktop.system.gpu.amdgpu import AmdGpus
        from gogrid_desktop.system.gpu.linux import LinuxGpus
        from gogrid_desktop.system.gpu.nvml import NvmlGpu

        return LinuxGpus(NvmlGpu(keep_open=True, known=of_nvidia), AmdGpus(), first=len(of_nvidia))
    if sys.platform == "win32":
        import ctypes

        from gogrid_desktop.system.gpu.nvml import NvmlGpu
        from gogrid_desktop.system.gpu.windows import WindowsGpus
        from gogrid_desktop.system.gpu.windows_pdh import PdhGpus

        return WindowsGpus(NvmlGpu(keep_open=True, known=of_nvidia), PdhGpus(ctypes.WinDLL("pdh")))
    from gogrid_desktop.system.gpu.null import NullGpu

    return NullGpu()


def tzset() -> Callable[[], object]:
    """Makes the C library look which time zone the computer is in: left alone, it keeps the one it began with.

    Sources: tzset(3); on Windows `_tzset` of the Universal C Runtime, which Python's `time` uses too (not run on real
    hardware).
    """
    if sys.platform == "win32":
        import ctypes

        return cast("Callable[[], object]", ctypes.CDLL("ucrtbase")._tzset)
    import time

    return time.tzset


def power_probe() -> PowerProbe:
    """Where the power comes from."""
    if sys.platform == "linux":
        from gogrid_desktop.system.power.linux import SysfsPower

        return SysfsPower()
    if sys.platform == "win32":
        import ctypes

        from gogrid_desktop.system.power.windows import WindowsPower

        return WindowsPower(ctypes.windll)
    if sys.platform == "darwin":
        from gogrid_desktop.system.power.macos import MacPower

        return MacPower()
    from gogrid_desktop.system.power.null import NullPower

    return NullPower()


def screen_probe() -> ScreenProbe:
    """What fills the screen."""
    if sys.platform == "linux":
        from gogrid_desktop.system.screen.x11 import X11Screen

        return X11Screen()
    if sys.platform == "win32":
        import ctypes

        from gogrid_desktop.system.screen.windows import WindowsScreen

        return WindowsScreen(ctypes.windll)
    from gogrid_desktop.system.screen.null import NullScreen

    return NullScreen()


def turn() -> Turn:
    """What one agent at a time holds while it shares this computer."""
    if sys.platform == "linux":
        from gogrid_desktop.system.alone.linux import SocketTurn

        return SocketTurn()
    from gogrid_desktop.system.alone.shared_file import FileTurn

    return FileTurn(_for_all_users())


def administrator_folder() -> Path:
    """Where an administrator keeps what holds for all users."""
    if sys.platform == "win32":
        return _for_all_users() / "GoGrid"
    if sys.platform == "darwin":
        return Path("/Library/Application Support/GoGrid")
    return Path("/etc/gogrid")


def _for_all_users() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData"))
    return Path("/Users/Shared")


@functools.cache
def session_bus() -> Bus:
    """The bus of this user's desktop: one connection for all who ask."""
    from gogrid_desktop.system.dbus import Bus

    return Bus("SESSION")


@functools.cache
def system_bus() -> Bus:
    """The bus of the system's services: one connection for all who ask."""
    from gogrid_desktop.system.dbus import Bus

    return Bus("SYSTEM")


def session_probe() -> SessionProbe:
    """Whose session the screen shows, and the system's sleep."""
    if sys.platform == "linux":
        from gogrid_desktop.system.session.logind import LogindSession
        from gogrid_desktop.system.session.screensaver import ScreenSaver

        return LogindSession(system_bus(), ScreenSaver(session_bus()), os.getuid())
    if sys.platform == "win32":
        import ctypes

        from gogrid_desktop.system.session.windows import WindowsSession

        return WindowsSession(ctypes.windll, ctypes.WINFUNCTYPE)
    if sys.platform == "darwin":
        import ctypes

        from gogrid_desktop.system import core_foundation
        from gogrid_desktop.system.session.macos import FRAMEWORK, MacSession

        foundation = core_foundation.CoreFoundation(ctypes.CDLL(core_foundation.FRAMEWORK))
        return MacSession(ctypes.CDLL(FRAMEWORK), foundation, os.getuid())
    from gogrid_desktop.system.session.null import NullSession

    return NullSession()


def attention_probe() -> AttentionProbe:
    """What a person does without touching anything."""
    if sys.platform == "linux":
        from gogrid_desktop.system.attention.call import Calls
        from gogrid_desktop.system.attention.game_mode import GameMode
        from gogrid_desktop.system.attention.inhibitors import Inhibitors
        from gogrid_desktop.system.attention.linux import LinuxAttention

        inhibitors = Inhibitors(session_bus(), system_bus(), os.getpid())
        return LinuxAttention(inhibitors, GameMode(session_bus()), Calls())
    if sys.platform == "win32":
        import ctypes
        import winreg

        import psutil

        from gogrid_desktop.system.attention.windows import WindowsAttention

        return WindowsAttention(ctypes.windll, winreg, psutil.boot_time())
    if sys.platform == "darwin":
        import ctypes

        from gogrid_desktop.system import core_foundation
        from gogrid_desktop.system.attention.macos import FRAMEWORK, MacAttention

        foundation = core_foundation.CoreFoundation(ctypes.CDLL(core_foundation.FRAMEWORK))
        return MacAttention(ctypes.CDLL(FRAMEWORK), foundation, os.getpid())
    from gogrid_desktop.system.attention.null import NullAttention

    return NullAttention()


def network_probe() -> NetworkProbe:
    """Whether the network costs by the byte."""
    if sys.platform == "linux":
        from gogrid_desktop.system.network.network_manager import NetworkManager

        return NetworkManager(system_bus())
    from gogrid_desktop.system.network.null import NullNetwork

    return NullNetwork()


def affinity() -> Affinity:
    """Which CPUs a process may run on."""
    if sys.platform == "darwin":
        from gogrid_desktop.system.affinity.null import NoAffinity

        return NoAffinity()
    from gogrid_desktop.system.affinity.bound import ProcessAffinity

    return ProcessAffinity()


def priority() -> Priority:
    """What ranks this process."""
    if sys.platform == "linux":
        from gogrid_desktop.system.priority.linux import LinuxPriority

        return LinuxPriority()
    if sys.platform == "win32":
        import ctypes

        from gogrid_desktop.system.priority.windows import WindowsPriority

        return WindowsPriority(ctypes.windll)
    if sys.platform == "darwin":
        from gogrid_desktop.system.priority import macos

        return macos.MacPriority(macos.load())
    from gogrid_desktop.system.priority.null import NoPriority

    return NoPriority()


def ranker(cpus: tuple[int, ...]) -> SystemRanker:
    """Binds this process to these CPUs (none: leaves it) and ranks it."""
    return SystemRanker(priority(), affinity(), cpus)


def mps() -> MpsDaemon:
    """The daemon of CUDA's Multi-Process Service."""
    if sys.platform == "linux":
        from gogrid_desktop.system.mps.daemon import MpsControl

        return MpsControl()
    from gogrid_desktop.system.mps.null import NoMps

    return NoMps()


def tray() -> str:
    """Whether there is a tray: "found", "absent", "no desktop" or "unknown"."""
    if sys.platform == "linux":
        from gogrid_desktop.system.tray import x11_tray

        return x11_tray().value
    return "found"


def secret_store(state_folder: Path, *, allow_plaintext: bool) -> SecretStore:
    """The system keyring; with `allow_plaintext` a file (0600) in `state_folder` where no keyring answers."""
    from gogrid_desktop.system.secrets.asked import AskedSecrets
    from gogrid_desktop.system.secrets.either import EitherSecrets
    from gogrid_desktop.system.secrets.file import FileSecrets

    system = AskedSecrets()
    return EitherSecrets(system, FileSecrets(state_folder / "secrets.json")) if allow_plaintext else system


def end_children_with_us() -> None:
    """Have the system end what this process started when it ends; where the children see to it, nothing is done."""
    if sys.platform == "win32":
        import ctypes

        from gogrid_desktop.system.job import end_children_with_us as in_one_job

        in_one_job(ctypes.windll.kernel32)


def give_back_what_is_free() -> None:
    """Have the C library keep little of what this process freed; for one that runs for days and is seldom busy."""
    if sys.platform == "linux":
        from gogrid_desktop.system import heap

        heap.give_back_what_is_free()
