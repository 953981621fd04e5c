"""The worker: takes commands between two steps, and makes steps while the limits allow them.

One thread owns the model and runs this loop; another reads the commands and interrupts a step for those that must not
wait for its end. An interrupted step is undone and made again later, so that it changes no token.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections import deque
from pathlib import Path
from queue import Empty

from gogrid_desktop import __version__, log
from gogrid_desktop.core.rank import Rank
from gogrid_desktop.core.worker_state import LifeCycle, WorkerState
from gogrid_desktop.errors import BadInput, GoGridError
from gogrid_desktop.gguf import read_header
from gogrid_desktop.worker import chaos, llama
from gogrid_desktop.worker import messages as w
from gogrid_desktop.worker.batcher import AnyJob, Batcher
from gogrid_desktop.worker.journal import ENVIRONMENT, Journal
from gogrid_desktop.worker.limits import Pace, Ranker
from gogrid_desktop.worker.llama_engine import LlamaEngine
from gogrid_desktop.worker.model import LoadedModel
from gogrid_desktop.worker.parent import die_with_parent
from gogrid_desktop.worker.pipes import Inbox, Out, read_commands
from gogrid_desktop.worker.progress import Progress

MAX_CONTEXT = 2**24

#: Commands that a step which runs does not delay, beside limits that are lower.
_INTERRUPTS = (w.Pause, w.Load, w.Unload)
#: Commands that are obeyed also while a model loads; the others wait for it, and the first two stop it.
_STOPS_LOAD = (w.Load, w.Unload)
_WHILE_LOADING = (w.Pause, w.Resume, w.SetLimits)


class _Watch:
    """Tells of each step to whoever asks from outside; faults on purpose count as part of it."""

    def __init__(self, progress: Progress, faults: chaos.Chaos) -> None:
        self._progress, self._faults = progress, faults

    def began(self) -> None:
        self._progress.began(time.monotonic())
        self._faults.before_step()

    def ended(self, *, counts: bool) -> None:
        self._progress.ended(time.monotonic(), counts=counts)


class Worker:
    """The loop and what each command does."""

    def __init__(self, inbox: Inbox, out: Out, journal: Journal, ranker: Ranker, faults: chaos.Chaos) -> None:
        self._interrupt = llama.Interrupt()
        self._progress = Progress()
        self._faults = faults
        self._inbox = inbox
        self._out = out
        self._journal = journal
        self._ranker = ranker
        self._log = llama.LlamaLog(lambda level, line: out.send(w.LogRecord(level=level, message=line)))
        self._pace = Pace()
        self._paused = False
        self._life = LifeCycle()
        self._model: LoadedModel | None = None
        self._said: list[w.Frame | w.Emission] = []
        self._postponed: deque[tuple[float, w.Command]] = deque()

    def run(self) -> None:
        """Serve for ever."""
        self._send(w.Hello(version=__version__, pid=os.getpid(), backends=llama.backends()))
        while True:
            self._interrupt.clear()
            while (arrival := self._next(0.0)) is not None:
                self._obey(*arrival)
            wait_s = self._wait_s()
            if wait_s == 0:
                self._step()
            elif (arrival := self._next(wait_s)) is not None:
                self._obey(*arrival)

    def arrived(self, read_s: float, command: w.Command) -> None:
        """Take a command that was read, on the thread that reads."""
        if isinstance(command, w.Ping):
            self._out.send(self._progress.pong(command.seq, read_s))
            return
        # Into the inbox first: an interrupt that finds it empty would be forgotten before the next step.
        self._inbox.put((read_s, command))
        lowered = isinstance(command, w.SetLimits) and command.limits.lowers_now(self._pace.limits)
        if lowered or isinstance(command, _INTERRUPTS):
            self._interrupt.set()

    # --- steps -------------------------------------------------------------------------------------------------------

    def _wait_s(self) -> float | None:
        if self._paused or self._model is None:
            return None
        return self._model.batcher.wait_s(time.monotonic())

    def _next(self, wait_s: float | None) -> tuple[float, w.Command] | None:
        if self._postponed:
            return self._postponed.popleft()
        try:
            return self._inbox.get(block=wait_s != 0, timeout=wait_s)
        except Empty:
            return None

    def _step(self) -> None:
        if self._model is None:
            return
        began_s = time.monotonic()
        self._model.batcher.step(began_s)
        self._pace.stepped(began_s, time.monotonic())
        self._settle()

    def _say(self, job: AnyJob, frame: w.Frame | w.Emission) -> None:
        """About a job. It leaves with all that a step has said, or before what is said next."""
        if isinstance(frame, w.Emission):
            self._journal.emitted(job.job, job.lease, job.fence, frame.tokens_before, len(frame.token_ids))
        self._said.append(frame)

    # --- commands ----------------------------------------------------------------------------------------------------

    def _obey(self, read_s: float, command: w.Command) -> None:
        match command:
            case w.Load():
                self._load(command)
            case w.Start():
                self._start(command)
            case w.Cancel():
                if self._model is not None:
                    self._model.batcher.cancel(command.lease)
                self._send(w.Cancelled(lease=command.lease))
                self._settle()
            case w.Unload():
                self._unload()
                self._send(w.Unloaded())
            case w.Room():
                if self._model is not None:
                    self._model.batcher.room(command.slots, prefixes=command.prefixes)
                self._applied(read_s, command.seq)
            case w.Probe():
                self._probe(command)
            case _:
                self._obey_at_once(read_s, command)

    def _obey_at_once(self, read_s: float, command: w.Command) -> None:
        """What needs no model. No step runs while this does."""
        rank: Rank | None = None
        if self._model is not None and not isinstance(command, w.Resume):
            self._model.batcher.settle()
        match command:
            case w.SetLimits():
                self._pace.limits = command.limits
                rank = self._ranker.hold(command.limits)
            case w.Pause():
                self._paused = True
            case w.Resume():
                self._paused = False
            case _:
                raise TypeError(f"{command.type} needs a model")
        self._applied(read_s, command.seq, rank)

    def _applied(self, read_s: float, seq: int, rank: Rank | None = None) -> None:
        self._send(w.Applied(seq=seq, took_ms=(time.monotonic() - read_s) * 1000, rank=rank))

    def _probe(self, probe: w.Probe) -> None:
        began_s = time.monotonic()
        if self._model is None:
            problem = "no model is loaded"
        elif self._paused or self._pace.stopped:
            problem = "paused"
        elif len(self._model.batcher):
            problem = "jobs are running"
        else:
            problem = self._model.probe()
            self._pace.worked(began_s, time.monotonic())
        self._send(w.Probed(seq=probe.seq, took_ms=(time.monotonic() - began_s) * 1000, problem=problem))

    def _start(self, start: w.Start) -> None:
        model = self._model
        if model is None or model.sha256 != start.job.model:
            self._complain("a job was started for a model that is not loaded; it is cancelled")
            self._send(w.Cancelled(lease=start.lease))
            return
        if start.lease in model.batcher:
            self._complain("a job was started twice; it goes on")
            return
        began_s = time.monotonic()
        self._become(WorkerState.PROCESSING)
        model.take(start)
        self._pace.worked(began_s, time.monotonic())
        self._settle()

    # --- the model ---------------------------------------------------------------------------------------------------

    def _load(self, load: w.Load) -> None:
        self._unload()
        self._become(WorkerState.LOADING)
        began_s = time.monotonic()
        try:
            _check(load)
            read_header(Path(load.path))
            self._faults.before_load()
            watch = _Watch(self._progress, self._faults)
            engine = LlamaEngine(load, self._log, self._interrupt, self._go_on_loading, watch)
        except llama.LoadStopped:
            self._become(WorkerState.FAILED, "stopped by another command")
            return
        except GoGridError as error:
            self._send(w.LoadFailed(sha256=load.sha256, message=error.message, remedy=error.remedy))
            self._become(WorkerState.FAILED, error.message)
            return
        batcher = Batcher(engine, self._pace, self._say, time.monotonic, deterministic=load.deterministic)
        self._model = LoadedModel(load.sha256, engine, batcher, self._send, self._journal)
        self._ranker.hold(self._pace.limits)  # the threads that the model brought
        self._send(
            w.Loaded(
                sha256=load.sha256,
                context=engine.context,
                slots=engine.slots,
                load_s=time.monotonic() - began_s,
                memory_bytes=engine.memory_bytes,
            )
        )
        self._become(WorkerState.READY)

    def _go_on_loading(self) -> bool:
        """Obey what cannot wait; False when the load is not wanted any more."""
        while True:
            try:
                read_s, command = self._inbox.get_nowait()
            except Empty:
                return not any(isinstance(command, _STOPS_LOAD) for _, command in self._postponed)
            if isinstance(command, _WHILE_LOADING):
                self._obey_at_once(read_s, command)
            else:
                self._postponed.append((read_s, command))

    def _unload(self) -> None:
        if self._model is None:
            return
        for lease in self._model.batcher.cancel_all():
            self._send(w.Cancelled(lease=lease))
        self._become(WorkerState.EVICTING)
        self._model.close()
        self._model = None
        self._become(WorkerState.SPAWNING)

    # --- what others are told ----------------------------------------------------------------------------------------

    def _send(self, *frames: w.Frame) -> None:
        self._out.send(*self._said, *frames)
        self._said.clear()

    def _settle(self) -> None:
        """Idle once the last job has left."""
        self._send()
        self._progress.running = len(self._model.batcher) if self._model is not None else 0
        if self._life.state is WorkerState.PROCESSING and not self._progress.running:
            self._become(WorkerState.IDLE)

    def _become(self, state: WorkerState, detail: str = "") -> None:
        if self._life.become(state, detail):
            self._send(w.StateChanged(state=state, detail=detail))

    def _complain(self, message: str) -> None:
        self._send(w.LogRecord(level="error", message=message))


def _check(load: w.Load) -> None:
    for field, most in (("slots", llama.MAX_SLOTS), ("context", MAX_CONTEXT), ("total_context", MAX_CONTEXT)):
        value = getattr(load, field)
        if not 1 <= value <= most:
            raise BadInput(field, value, f"1 to {most:,}")


def main(ranker: Ranker) -> None:
    """Serve the agent on the other side of standard input and output until it goes."""
    log.setup("warning")
    die_with_parent()
    faults = chaos.Chaos(os.environ.get(chaos.ENVIRONMENT), os.getpid())
    inbox, out = Inbox(), Out(faults.garbage)
    worker = Worker(inbox, out, Journal(os.environ.get(ENVIRONMENT)), ranker, faults)
    reader = threading.Thread(
        target=read_commands, args=(sys.stdin.buffer, worker.arrived, out), name="commands", daemon=True
    )
    reader.start()
    try:
        worker.run()
    except Exception as error:  # noqa: BLE001 - logged without its message, which may quote somebody's words
        where = "".join(traceback.format_tb(error.__traceback__))
        logging.getLogger(__name__).critical("the worker cannot go on: %s\n%s", type(error).__name__, where)
    os._exit(70)  # not past the reader, which waits for a line
