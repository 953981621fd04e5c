"""A stand-in for nvidia-cuda-mps-control, as a program: it answers from a folder, and keeps what it was told there.

A file `servers` there is a running daemon: its lines are server pids; `clients-PID` lists the clients of one of them.
`deaf` lets it never answer. `told` is what it was told, a line for each command.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

PROGRAM = """#!/bin/sh
read -r command argument rest
echo "$command $argument $rest" >> "{folder}/told"
if [ -e "{folder}/deaf" ]; then exec sleep 30; fi
if [ ! -e "{folder}/servers" ]; then
    echo "Cannot find MPS control daemon process"
    exit 1
fi
case "$command" in
    get_server_list) cat "{folder}/servers" ;;
    get_client_list) cat "{folder}/clients-$argument" ;;
    terminate_client) ;;
    *) exit 2 ;;
esac
"""


class FakeMpsDaemon:
    """Lies in `folder`/bin; put that on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "bin" / "nvidia-cuda-mps-control"
        self.path.parent.mkdir(parents=True)
        self.path.write_text(PROGRAM.format(folder=folder))
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)

    def search_path(self) -> str:
        return f"{self.path.parent}{os.pathsep}{os.environ['PATH']}"

    def runs(self, servers: dict[int, tuple[int, ...]] | None = None) -> None:
        """A daemon with these servers and their clients."""
        servers = servers or {}
        for server, clients in servers.items():
            (self.folder / f"clients-{server}").write_text("".join(f"{pid}\n" for pid in clients))
        (self.folder / "servers").write_text("".join(f"{pid}\n" for pid in servers))

    def is_deaf(self) -> None:
        (self.folder / "deaf").touch()

    @property
    def told(self) -> list[str]:
        file = self.folder / "told"
        return [line.strip() for line in file.read_text().splitlines()] if file.exists() else []
