"""GPUs asked through a process of their own: a driver that hangs, after sleep or while it is replaced, holds nobody up.

One thread does everything here, in the order of its inbox. It sleeps while nothing is asked, watched or awaited.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial

from gogrid_desktop.core.backoff import Backoff
from gogrid_desktop.system.gpu import Gpu, GpuReading
from gogrid_desktop.system.gpu.frames import Ask
from gogrid_desktop.system.gpu.helper import Helper

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "gogrid_desktop.system.gpu.watch")
SILENT = "The GPU driver does not answer."
DIED = "The process that asks the GPU driver ended unexpectedly."
CLOSED = "The GPUs are not watched any more."


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. `fresh_s`: a reading so old is still given; `answer_s`: longest wait for another; `start_s`: for the
    first of a new process, which may load a driver; `pause_s` to `longest_pause_s`: until a driver that failed is asked
    again; `absent_s` to `longest_absent_s`: until one that was never seen is looked for again, if somebody asks.
    """

    fresh_s: float = 2.0
    answer_s: float = 1.5
    start_s: float = 10.0
    pause_s: float = 2.0
    longest_pause_s: float = 60.0
    absent_s: float = 240.0
    longest_absent_s: float = 960.0


class WatchedGpu:
    """Thread-safe; nothing here raises, or waits longer than `Timing.answer_s`."""

    name = "watched"

    def __init__(self, command: Sequence[str] = COMMAND, timing: Timing | None = None) -> None:
        self._command, self._timing = command, timing or Timing()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = threading.Event()
        self._latest = GpuReading()
        # What follows belongs to the thread.
        self._helper: Helper | None = None
        self._killed: Helper | None = None
        self._known: tuple[Gpu, ...] = ()
        self._waiting: list[Future[GpuReading]] = []
        self._every_s: float | None = None
        self._heard: Callable[[GpuReading], None] | None = None
        self._told = ""
        self._since = 0.0
        self._spoken = False
        self._due: float | None = None
        self._not_before = 0.0
        self._backoff = Backoff(self._timing.pause_s, self._timing.longest_pause_s)
        # Looking takes a new process each time: longer and longer, where there is most likely none.
        self._absence = Backoff(self._timing.absent_s, self._timing.longest_absent_s)

    @property
    def latest(self) -> GpuReading:
        """The last reading, however old; asks nobody and wakes nothing. Empty before the first."""
        return self._latest

    def read(self) -> GpuReading:
        if self._closed.is_set():
            return GpuReading(problem=CLOSED)
        latest = self._latest
        if latest.taken_at and time.monotonic() - latest.taken_at <= self._timing.fresh_s:
            return latest
        answer: Future[GpuReading] = Future()
        self._post(partial(self._want, answer))
        try:
            return answer.result(self._timing.answer_s)
        except TimeoutError:
            return GpuReading(problem=SILENT)

    def watch(self, every_s: float | None, heard: Callable[[GpuReading], None]) -> None:
        """Have `heard` called for each reading, `every_s` apart, and once for each new problem. None: no more.

        It is called from the thread that reads, and must neither wait nor `read`.
        """
        self._post(partial(self._watch, every_s, heard))

    def close(self) -> None:
        """End the process and the thread; for good."""
        if not self._closed.is_set():
            self._closed.set()
            self._inbox.put(lambda: None)
            if self._thread is not None and self._thread is not threading.current_thread():
                self._thread.join(self._timing.answer_s)

    def _post(self, step: Callable[[], None]) -> None:
        with self._starting:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="gpu watch", daemon=True)
                self._thread.start()
        self._inbox.put(step)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                step = self._inbox.get(timeout=self._sleep_s())
            except queue.Empty:
                step = self._late
            try:
                step()
            except Exception:
                log.exception("a reading of the GPUs was not taken well")
        if self._helper is not None:
            self._helper.kill()
            self._helper.join(self._timing.answer_s)
        self._answer(GpuReading(problem=CLOSED))

    def _sleep_s(self) -> float | None:
        """Until the next thing that happens by itself; None: nothing does."""
        at = self._due
        if self._helper is None and self._killed is None and self._every_s is not None and self._known:
            at = self._not_before
        return None if at is None else max(0.0, at - time.monotonic())

    def _late(self) -> None:
        if self._helper is None:
            self._start()
        elif self._due is not None and time.monotonic() >= self._due:
            log.warning("the GPU driver does not answer; its watcher (pid %d) is ended", self._helper.pid)
            self._drop(self._helper)
            self._fail(SILENT)

    def _want(self, answer: Future[GpuReading]) -> None:
        self._waiting.append(answer)
        if self._helper is not None:
            self._helper.ask(Ask(self._every_s, now=True))
            self._expect(self._timing.answer_s)
        else:
            self._start(now=True)

    def _watch(self, every_s: float | None, heard: Callable[[GpuReading], None]) -> None:
        self._every_s, self._heard, self._told = every_s, None if every_s is None else heard, ""
        if self._helper is not None:
            self._helper.ask(Ask(every_s, now=bool(self._waiting)))
            if every_s is not None:
                self._expect(every_s + self._timing.answer_s)
            elif not self._waiting:
                self._due = None
        elif every_s is not None:
            self._start()

    def _start(self, *, now: bool = False) -> None:
        """Ask a new process, or say what is wrong while none may be started."""
        if self._killed is not None or time.monotonic() < self._not_before:
            self._give(self._latest if self._latest.problem else GpuReading(problem=SILENT))
            return
        self._since, self._due, self._spoken = time.monotonic(), None, False
        try:
            self._helper = Helper(self._command, *(partial(self._from, then) for then in (self._said, self._ended)))
        except OSError as error:
            self._fail(f"The GPUs cannot be asked: {error}.")
            return
        self._helper.ask(Ask(self._every_s, now, self._known))
        self._expect(self._timing.start_s)

    def _from(self, then: Callable[..., None], *said: object) -> None:
        self._inbox.put(partial(then, *said))

    def _said(self, helper: Helper, reading: GpuReading) -> None:
        if helper is not self._helper:
            return
        if not reading.gpus:  # it is about to end: another one opens the driver anew
            self._drop(helper)
            self._fail(reading.problem)
            return
        self._due, self._spoken, self._known = None, True, reading.gpus
        if self._every_s is not None:
            self._expect(self._every_s + self._timing.answer_s)
        self._give(replace(reading, taken_at=time.monotonic()))

    def _ended(self, helper: Helper) -> None:
        if helper is self._killed:
            self._killed = None
        if helper is not self._helper:
            return
        self._helper = self._due = None
        if not (helper.rested and self._spoken):
            self._fail(DIED)
        elif self._waiting:  # they asked in that moment
            self._start(now=True)

    def _drop(self, helper: Helper) -> None:
        """No other is started until it has ended: never more than one hangs."""
        self._killed, self._helper = helper, None
        helper.kill()

    def _fail(self, problem: str) -> None:
        self._due = None
        now = time.monotonic()
        absent = not self._known and problem != SILENT
        self._not_before = now + (self._absence if absent else self._backoff).after(now - self._since, 1.0)
        self._give(GpuReading(problem=problem, taken_at=now))

    def _give(self, reading: GpuReading) -> None:
        self._latest = reading
        self._answer(reading)
        if self._heard is not None and (not reading.problem or reading.problem != self._told):
            self._heard(reading)
        self._told = reading.problem

    def _answer(self, reading: GpuReading) -> None:
        for answer in self._waiting:
            answer.set_result(reading)
        self._waiting.clear()

    def _expect(self, within_s: float) -> None:
        """The process is to answer within so many seconds; a new one keeps the time that it was given."""
        at = time.monotonic() + within_s
        if self._due is None or (self._spoken and at < self._due):
            self._due = at
