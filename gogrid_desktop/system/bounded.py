"""Calls into systems that may never answer: they run in a daemon thread, and their caller waits only so long.

A locked keyring shows a prompt and blocks until somebody answers it; a stopped X server blocks for ever. Neither may
hold the agent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

#: What is asked again and again finds its thread there still; starting one costs more than most questions.
KEEP_S = 15.0


class Bounded:
    """One caller at a time, and never more than one thread, whether it hangs or not."""

    def __init__(self, name: str, limit_s: float) -> None:
        self._name = name
        self._limit_s = limit_s
        self._one = threading.Lock()
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._changing = threading.Lock()
        self._running = False
        self._hanging: Future[Any] | None = None

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns or raises. Raises TimeoutError after the limit, while an earlier call still hangs."""
        with self._one:
            self._until_free()
            answer: Future[T] = Future()
            self._hand_over(answer, function)
            try:
                return answer.result(self._limit_s)
            except TimeoutError:
                if not answer.done():
                    self._hanging = answer
                raise

    def _until_free(self) -> None:
        if self._hanging is not None:
            try:
                self._hanging.exception(self._limit_s)
            except TimeoutError:
                raise TimeoutError(f"{self._name} does not answer") from None
            self._hanging = None

    def _hand_over(self, answer: Future[T], function: Callable[[], T]) -> None:
        with self._changing:
            self._calls.put((answer, function))
            if not self._running:
                self._running = True
                threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                _into(*self._calls.get(timeout=KEEP_S))
            except Empty:
                with self._changing:
                    if self._calls.empty():
                        self._running = False
                        return


def _into(answer: Future[T], function: Callable[[], T]) -> None:
    try:
        answer.set_result(function())
    except BaseException as error:  # noqa: BLE001 - the caller gets it
        answer.set_exception(error)
