"""What a worker's process is started with beyond what every worker gets: its CPUs, its pages, its limits as MPS client.

All of it is checked here once more, against this machine as it is at that moment: a setting that was right when it was
read may name a CPU or a daemon that has gone since.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping

from gogrid_desktop.config.settings import Settings
from gogrid_desktop.core.cpus import format_cpus, parse_cpus
from gogrid_desktop.errors import ConfigError, WorkerStartFailed
from gogrid_desktop.system import huge_pages, mps
from gogrid_desktop.system.affinity import Affinity
from gogrid_desktop.system.gpu import GpuProbe
from gogrid_desktop.worker.messages import CPUS_ENVIRONMENT

log = logging.getLogger(__name__)


def concerned(before: Settings, after: Settings) -> bool:
    """Whether a change of settings is one that a worker takes up only when its process starts."""
    old, new = before.worker, after.worker
    return (old.cpus, old.huge_pages, before.mps) != (new.cpus, new.huge_pages, after.mps)


class Surroundings:
    """`environ`: the agent's own environment, for the devices that it may see."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        gpus: GpuProbe,
        daemon: mps.MpsDaemon,
        affinity: Affinity,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._settings = settings
        self._gpus = gpus
        self._daemon = daemon
        self._affinity = affinity
        self._environ = environ

    def environment(self, own: Mapping[str, str] | None = None) -> dict[str, str]:
        """To be added to a new worker's environment; `own` is what its plan asks for. Blocks for some seconds at most.

        Raises BadInput for a setting that does not fit this machine, WorkerStartFailed where MPS is asked for and does
        not answer.
        """
        settings = self._settings()
        pages = huge_pages.variables() if settings.worker.huge_pages else {}
        own = dict(own or {})
        return {**self._cpus(settings), **pages, **self._mps(settings, {**self._environ, **own}), **own}

    def before_kill(self, pid: int) -> None:
        """Have the MPS daemon end this worker's work on the GPU. Blocks for some seconds at most."""
        if self._daemon.end_client(pid):
            log.info("the MPS daemon ended the work of the worker (pid %d)", pid)

    def _cpus(self, settings: Settings) -> dict[str, str]:
        wanted = parse_cpus(settings.worker.cpus)
        if not wanted:
            return {}
        there = self._affinity.usable()
        if not set(wanted) <= set(there):
            raise ConfigError(
                "worker.cpus",
                settings.worker.cpus,
                f"this computer lets it have {format_cpus(there)}",
                "Change it with: gogrid settings set worker.cpus ...",
            )
        return {CPUS_ENVIRONMENT: format_cpus(wanted)}

    def _mps(self, settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
        if not settings.mps.enabled or settings.worker.gpu_layers == 0:
            return {}
        devices = mps.visible(self._gpus.read().gpus, environ.get("CUDA_VISIBLE_DEVICES"))
        if not devices:
            return {}
        found = mps.variables(settings.mps.thread_percent, settings.mps.memory_mib, devices)
        answer = self._daemon.ask()
        if answer.problem:
            raise WorkerStartFailed(
                f"mps.enabled is on, but {answer.problem}.",
                "Start it with: nvidia-cuda-mps-control -d. Or do without: gogrid settings set mps.enabled false",
            )
        return found
