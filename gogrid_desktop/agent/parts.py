"""What an agent is built from: the real parts of this system; tests hand in their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gogrid_desktop.agent.clock import Clock, SystemClock
from gogrid_desktop.agent.gpu_sense import GpuWatch
from gogrid_desktop.agent.runner import Supervise
from gogrid_desktop.agent.sensors import Probes
from gogrid_desktop.agent.supervisor import Supervisor
from gogrid_desktop.agent.surroundings import Surroundings
from gogrid_desktop.config.ceiling import FILE, CeilingFile
from gogrid_desktop.config.store import SettingsStore
from gogrid_desktop.paths import AppPaths
from gogrid_desktop.system import host
from gogrid_desktop.system.alone import Turn
from gogrid_desktop.system.others_cpu import OthersCpu
from gogrid_desktop.system.secrets import SecretStore
from gogrid_desktop.worker import messages as w


@dataclass(frozen=True, slots=True)
class Parts:
    """`secrets` is given whether a file (0600) may stand in for the keyring."""

    paths: AppPaths
    store: SettingsStore
    secrets: Callable[[bool], SecretStore]
    probes: Probes
    gpus: GpuWatch
    turn: Turn
    ceiling: CeilingFile
    clock: Clock
    allow_plaintext: bool = False
    worker_command: tuple[str, ...] = ()


def system_parts(paths: AppPaths, *, allow_plaintext: bool = False) -> Parts:
    """The real ones. `allow_plaintext`: as if the setting of that name were on."""

    def secrets(plaintext: bool) -> SecretStore:
        return host.secret_store(paths.state, allow_plaintext=plaintext)

    probes = Probes(
        host.idle_probes(),
        host.power_probe(),
        host.screen_probe(),
        host.session_probe(),
        host.attention_probe(),
        host.network_probe(),
        OthersCpu(),
        host.tzset(),
    )
    return Parts(
        paths,
        SettingsStore(paths.settings_file),
        secrets,
        probes,
        host.gpu_probe(),
        host.turn(),
        CeilingFile(host.administrator_folder() / FILE),
        SystemClock(),
        allow_plaintext,
    )


def supervise_with(command: tuple[str, ...], surroundings: Surroundings) -> Supervise:
    """How worker processes are started: what all of them get, and what their model's plan adds."""

    def supervise(on_event: Callable[[w.Event], None], own: Callable[[], Mapping[str, str]]) -> Supervisor:
        return Supervisor(on_event, command, lambda: surroundings.environment(own()), surroundings.before_kill)

    return supervise
