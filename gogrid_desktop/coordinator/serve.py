"""Running the coordinator as a process: the port first, one server for a folder, a stop that waits for nobody."""

from __future__ import annotations

import errno
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from filelock import FileLock, Timeout

from gogrid_desktop.coordinator.app import create_app
from gogrid_desktop.coordinator.settings import CoordinatorSettings
from gogrid_desktop.errors import BadInput, GoGridError, PortInUse
from gogrid_desktop.paths import private_dir

#: Longer than clients keep an idle connection, so that none sends into one that is being closed.
KEEP_ALIVE_S = 75
STOP_S = 2


def listen(host: str, port: int) -> socket.socket:
    """A listening socket (`port` 0: a free one). Raises PortInUse, BadInput."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"Port {port} on {host} is in use.", "Stop what listens there, or choose another with --port."
            ) from None
        raise BadInput("host, port", f"{host}, {port}", "an address of this machine and a port 0..65535") from None


@contextmanager
def sole_server(settings: CoordinatorSettings) -> Iterator[None]:
    """Hold the folder of a file database, which one process serves. Raises GoGridError if another one does."""
    if settings.database:
        yield
        return
    private_dir(settings.data)
    lock = FileLock(settings.lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise GoGridError(
            f"Another coordinator serves {settings.data}.", "Stop it, or give this one its own folder with --data."
        ) from None
    try:
        yield
    finally:
        lock.release()


class _Server(uvicorn.Server):
    """Says when it is ready, ends long calls when it stops, and does not die of the signal that stopped it."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], close: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._close = close

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._close()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def serve(settings: CoordinatorSettings, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM. Raises the error that ended it otherwise."""
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    app = create_app(settings, failed=failed)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        ws="none",
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    server = _Server(config, ready, app.state.close)
    server.run(sockets=[listening])
    if failures:
        raise failures[0]
