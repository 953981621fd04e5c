"""Changes settings for a command. A running agent is their only writer; without one the file is written."""

from __future__ import annotations

from typing import Any

from filelock import FileLock, Timeout

from gogrid_desktop.config.settings import Settings, flatten
from gogrid_desktop.config.store import SettingsStore, change
from gogrid_desktop.errors import AgentUnavailable, VersionMismatch
from gogrid_desktop.ipc import messages as m
from gogrid_desktop.ipc.client import LocalClient
from gogrid_desktop.paths import app_paths, private_dir


def write_settings(values: dict[str, Any]) -> dict[str, Any]:
    """Change settings by dotted names, all or none, and return all of them as they are then.

    Raises ConfigError, and AgentUnavailable when an agent runs that does not answer.
    """
    # Refused here already, with the error and the exit code of a bad setting, before anything is asked to change.
    change(Settings(), values)
    paths = app_paths()
    try:
        with LocalClient(paths.endpoint_file) as agent:
            agent.call(m.PutSettings(id=1, values=values))
            return flatten(agent.call(m.GetSettings(id=2)).settings or {})
    except VersionMismatch:
        raise
    except AgentUnavailable as error:
        private_dir(paths.runtime)
        try:
            # The agent's own lock says truly that none runs, and keeps one from starting meanwhile.
            with FileLock(paths.agent_lock, timeout=0):
                store = SettingsStore(paths.settings_file)
                store.change(values)
                return store.settings.flat()
        except Timeout:
            raise error from None
