"""Calls into systems that may never answer: each runs in a daemon thread, and its caller waits only so long.

A locked keyring shows a prompt and blocks until somebody answers it; a stopped X server blocks for ever. Neither may
hold the agent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Bounded:
    """One caller at a time, and never more than one thread that hangs."""

    def __init__(self, name: str, limit_s: float) -> None:
        self._name = name
        self._limit_s = limit_s
        self._one = threading.Lock()
        self._hanging: threading.Thread | None = None

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns or raises. Raises TimeoutError after the limit, while an earlier call still hangs."""
        with self._one:
            if self._hanging is not None:
                self._hanging.join(self._limit_s)
                if self._hanging.is_alive():
                    raise TimeoutError(f"{self._name} does not answer")
                self._hanging = None
            answer: Future[T] = Future()
            thread = threading.Thread(target=_into, args=(answer, function), name=self._name, daemon=True)
            thread.start()
            try:
                return answer.result(self._limit_s)
            except TimeoutError:
                if not answer.done():
                    self._hanging = thread
                raise


def _into(answer: Future[T], function: Callable[[], T]) -> None:
    try:
        answer.set_result(function())
    except BaseException as error:  # noqa: BLE001 - the caller gets it
        answer.set_exception(error)
