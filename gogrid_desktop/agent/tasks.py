"""Named tasks under one monitor: when one of them dies, all are stopped in order, and the reason is kept."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine, Iterator
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)


class Monitor:
    """Runs tasks that are meant to run for ever."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []
        self._stop = asyncio.Event()
        self.failure: str = ""

    def spawn(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def stop(self) -> None:
        """Ask for the end."""
        self._stop.set()

    async def until_stopped(self) -> None:
        """Wait until somebody asked for the end, or a task died."""
        await self._stop.wait()

    async def cancel(self) -> None:
        """Cancel all tasks, the youngest first, and wait for them."""
        for task in reversed(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or self._stop.is_set():
            return
        error = task.exception()
        self.failure = f"The task {task.get_name()} ended" + (f": {error!r}" if error else " by itself")
        log.error("%s; the agent stops", self.failure, exc_info=error)
        self._stop.set()


@contextlib.contextmanager
def stopped_by_signals(monitor: Monitor) -> Iterator[None]:
    """SIGINT and SIGTERM ask for the end, on every platform."""
    loop = asyncio.get_running_loop()

    def ask(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(monitor.stop)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """Set an event from any thread; one that comes when all is over is for nobody."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(event.set)
