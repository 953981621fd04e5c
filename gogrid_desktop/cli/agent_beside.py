"""What an agent that runs beside a command does: its workers are no foreign use of a GPU."""

from __future__ import annotations

import time
from pathlib import Path

from gogrid_desktop.core.status import AgentStatus
from gogrid_desktop.errors import GoGridError
from gogrid_desktop.ipc import messages as m
from gogrid_desktop.ipc.client import LocalClient

ANSWER_S = 1.0
#: Where none answered, it is looked for again after so long.
AGAIN_S = 10.0


class AgentBeside:
    """Whatever agent runs, none too; asked by one thread at a time."""

    def __init__(self, endpoint_file: Path) -> None:
        self._endpoint_file = endpoint_file
        self._client: LocalClient | None = None
        self._not_before = 0.0
        self._status: AgentStatus | None = None

    def jobs(self) -> int:
        """Asks; `pids` says then what was answered."""
        self._status = self._ask()
        return 0 if self._status is None else self._status.jobs_running

    def pids(self) -> list[int]:
        workers = () if self._status is None else self._status.workers
        return [worker.pid for worker in workers if worker.pid is not None]

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _ask(self) -> AgentStatus | None:
        if time.monotonic() < self._not_before:
            return None
        try:
            if self._client is None:
                self._client = LocalClient(self._endpoint_file, ANSWER_S)
            return self._client.call(m.GetStatus(id=1)).status
        except GoGridError:  # none runs, or it is of another version: its work looks like anybody's
            self.close()
            self._not_before = time.monotonic() + AGAIN_S
            return None
