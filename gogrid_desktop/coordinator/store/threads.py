"""Where transactions run: on threads of the store's own, whole, and together with those that came meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

from gogrid_desktop.coordinator.store.group import Base, Outcome, run
from gogrid_desktop.coordinator.store.port import Ahead, Tx
from gogrid_desktop.errors import StorageError

T = TypeVar("T")
#: Works that share a transaction at most, so that none waits long for the others.
MOST = 128
_Whole = Callable[[Callable[[Base], list[Outcome]]], list[Outcome]]


@dataclass(frozen=True, slots=True)
class _Wish:
    work: Callable[[Tx], Any]
    aheads: Sequence[Ahead]
    done: asyncio.Future[Any]

    def answer(self, outcome: Outcome) -> None:
        if self.done.done():
            return  # whoever asked has left
        if outcome.error is None:
            self.done.set_result(outcome.result)
        else:
            self.done.set_exception(outcome.error)


class Threads:
    """`whole` runs a function between the beginning of a transaction and its commit, and undoes it if that raises."""

    def __init__(self, name: str, threads: int, whole: _Whole) -> None:
        self._pool = ThreadPoolExecutor(threads, name)
        self._most = threads
        self._whole = whole
        self._lock = Lock()
        self._busy = 0
        self._waiting: deque[_Wish] = deque()

    async def later(self, work: Callable[[Tx], T], aheads: Sequence[Ahead]) -> T:
        """The work's result, once it is committed. Raises what the work raises, and StorageError."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.append(_Wish(work, aheads, done))
            start = self._busy < self._most
            self._busy += start
        if start:
            self._pool.submit(self._serve, done.get_loop())
        return await done

    def close(self) -> None:
        """Waits for what is under way."""
        self._pool.shutdown()

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            with self._lock:
                wishes = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
                if not wishes:
                    self._busy -= 1
                    return
            outcomes = self._together(wishes)
            loop.call_soon_threadsafe(_answer, wishes, outcomes)

    def _together(self, wishes: list[_Wish]) -> list[Outcome]:
        """One by one where they cannot be done together because of one of them."""
        try:
            return self._whole(lambda tx: run(tx, [(wish.work, wish.aheads) for wish in wishes]))
        except StorageError as error:  # the same for all of them
            return [Outcome(error=error)] * len(wishes)
        except Exception as error:  # noqa: BLE001 - it goes to whoever asked
            if len(wishes) == 1:
                return [Outcome(error=error)]
            return [outcome for wish in wishes for outcome in self._together([wish])]


def _answer(wishes: list[_Wish], outcomes: list[Outcome]) -> None:
    for wish, outcome in zip(wishes, outcomes, strict=True):
        wish.answer(outcome)
