"""Several coordinators on one port: a parent that only starts them, starts again what died, and passes a stop on.

They share the listening socket, so the system hands each connection to whichever is free; the parent answers nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from gogrid_desktop.errors import BadInput

log = logging.getLogger(__name__)

MOST = 64
#: Between the starts of a replica; a fault that comes back must not take the machine.
AGAIN_S = 1.0
STOP_S = 10.0
LOOK_S = 0.2


def check(replicas: int, database: str) -> None:
    """Whether so many may serve this database. Raises BadInput."""
    if not 1 <= replicas <= MOST:
        raise BadInput("replicas", replicas, f"from 1 to {MOST}")
    if replicas > 1 and not database:
        raise BadInput("replicas", replicas, "1 for a database in a file", "Give --database postgresql://...")
    if replicas > 1 and os.name == "nt":
        raise BadInput("replicas", replicas, "1 on Windows", "Start one coordinator for each port instead.")


def serve(replicas: int, listening: socket.socket, arguments: Sequence[str], environment: dict[str, str]) -> None:
    """Run so many `gogrid coordinator serve` with these arguments on the socket, until SIGINT or SIGTERM."""
    command = (sys.executable, "-m", "gogrid_desktop", "coordinator", "serve", *arguments)
    command += ("--listen-fd", str(listening.fileno()))
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, stop)

    def start() -> tuple[subprocess.Popen[bytes], float]:
        child = subprocess.Popen(command, pass_fds=[listening.fileno()], env=environment, start_new_session=True)
        return child, time.monotonic()

    children = [start() for _ in range(replicas)]
    try:
        while not stopping:
            time.sleep(LOOK_S)
            for place, (child, began_s) in enumerate(children):
                if child.poll() is not None and time.monotonic() - began_s >= AGAIN_S and not stopping:
                    log.warning("a replica ended with %s; it is started again", child.returncode)
                    children[place] = start()
    finally:
        for child, _ in children:
            child.terminate()
        for child, _ in children:
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
