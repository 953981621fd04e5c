"""When transactions run: a few at once at most, each together with the works that came while they ran."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gogrid_desktop.coordinator.store.group import Base, Outcome, run
from gogrid_desktop.coordinator.store.port import Ahead, Tx
from gogrid_desktop.errors import StorageError

T = TypeVar("T")
#: Works that share a transaction at most, so that none waits long for the others.
MOST = 128
#: Runs a function between the beginning of a transaction and its commit, and undoes it if that raises.
Whole = Callable[[Callable[[Base], list[Outcome]]], Awaitable[list[Outcome]]]


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


class Together:
    """`at_once`: how many transactions run at the same time at most."""

    def __init__(self, name: str, at_once: int, whole: Whole) -> None:
        self._name = name
        self._at_once = at_once
        self._whole = whole
        self._waiting: deque[_Wish] = deque()
        self._serving: set[asyncio.Task[Any]] = set()

    async def later(self, work: Callable[[Tx], T], aheads: Sequence[Ahead]) -> T:
        """The work's result, once it is committed. Raises what the work raises, and StorageError."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Wish(work, aheads, done))
        if len(self._serving) < self._at_once:
            self._serving.add(asyncio.create_task(self._serve(), name=self._name))
        return await done

    async def close(self) -> None:
        """Waits for what is under way."""
        await asyncio.gather(*self._serving)

    async def _serve(self) -> None:
        me = asyncio.current_task()
        try:
            while self._waiting:
                wishes = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
                for wish, outcome in zip(wishes, await self._outcomes(wishes), strict=True):
                    wish.answer(outcome)
        finally:
            self._serving -= {me}  # at once: what comes next must begin a task of its own

    async def _outcomes(self, wishes: list[_Wish]) -> list[Outcome]:
        """One by one where they cannot be done together because of one of them."""
        try:
            return await self._whole(lambda tx: run(tx, [(wish.work, wish.aheads) for wish in wishes]))
        except StorageError as error:  # the same for all of them
            return [Outcome(error=error)] * len(wishes)
        except Exception as error:  # noqa: BLE001 - it goes to whoever asked
            if len(wishes) == 1:
                return [Outcome(error=error)]
            return [outcome for wish in wishes for outcome in await self._outcomes([wish])]
