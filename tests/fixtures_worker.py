"""The real worker process, driven over its pipes, and the starter model that it runs."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gogrid_desktop import paths
from gogrid_desktop.core.profiles import Limits
from gogrid_desktop.core.worker_state import WorkerState, may_follow
from gogrid_desktop.protocol.grid import Have, Job, JobKind, Message, SamplingParams
from gogrid_desktop.worker import messages as w

MODEL = "a" * 64
OPEN_LIMITS = Limits(1.0, 1.0, 16, 0, 2, 4, 0)
PATIENCE_S = 90.0

F = TypeVar("F", bound=w.Frame)


def starter_model() -> Path:
    path = paths.starter_model()
    assert path is not None, "the extra `starter` is not installed"
    return path


def load_command(path: Path | None = None, **values: int) -> w.Load:
    sizes = {"context": 1024, "total_context": 4096, "slots": 4, **values}
    return w.Load.model_validate({"path": str(path or starter_model()), "sha256": MODEL, **sizes})


def chat_job(question: str, *, token_ids: tuple[int, ...] = (), have_bytes: int = 0, **params: object) -> Job:
    return Job(
        id="job",
        kind=JobKind.CHAT,
        model=MODEL,
        messages=(Message(role="user", content=question),),
        rendered_at=1_700_000_000,
        deadline=4e9,
        params=SamplingParams.model_validate({"max_tokens": 60, "temperature": 0, **params}),
        token_ids=token_ids,
        have=Have(tokens=len(token_ids), bytes=have_bytes),
    )


class WorkerProcess:
    """Every line that it says must be a frame, and every change of its state legal. Use as a context manager."""

    def __init__(self, journal: Path | None = None) -> None:
        environment = dict(os.environ)
        environment.pop("GOGRID_WORKER_JOURNAL", None)
        if journal is not None:
            environment["GOGRID_WORKER_JOURNAL"] = str(journal)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gogrid_desktop.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        self.said: list[w.Event] = []  # everything but debug records
        self.errors: list[str] = []
        self._frames: queue.SimpleQueue[w.Event | Exception | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=f, daemon=True) for f in (self._read, self._drain)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                continue

    def send(self, *frames: w.Frame) -> None:
        self.send_bytes(b"".join(w.encode(frame) for frame in frames))

    def send_bytes(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def start(self, lease: str, job: Job) -> None:
        self.send(w.Start(lease=lease, fence=1, job=job))

    def next(self, kind: type[F], where: Callable[[F], bool] = lambda _: True) -> F:
        """The next frame of this kind; those before it are kept in `said` all the same."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            frame = self._frames.get(timeout=max(0.0, until_s - time.monotonic()))
            if isinstance(frame, Exception):
                raise frame
            assert frame is not None, f"the worker ended: {self.errors[-20:]}"
            self.said.append(frame)
            if isinstance(frame, kind) and where(frame):
                return frame

    def quiet_for(self, seconds: float) -> list[w.Event]:
        """What it says within this time."""
        until_s, heard = time.monotonic() + seconds, []
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                frame = self._frames.get(timeout=left_s)
            except queue.Empty:
                break
            assert frame is not None and not isinstance(frame, Exception)
            heard.append(frame)
        self.said += heard
        return heard

    def ready(self, path: Path | None = None, **values: int) -> WorkerProcess:
        """Load the starter model, or another, under limits that hold nothing back."""
        self.send(w.SetLimits(seq=1, limits=OPEN_LIMITS), load_command(path, **values))
        self.next(w.Loaded)
        return self

    def ended(self, lease: str) -> w.Finished:
        return self.next(w.Finished, lambda frame: frame.lease == lease)

    def tokens(self, lease: str) -> tuple[int, ...]:
        return tuple(t for f in self._emitted(lease) for t in f.chunk.token_ids)

    def text(self, lease: str) -> str:
        return "".join(f.chunk.text for f in self._emitted(lease))

    def check_counters(self, lease: str, have: Have) -> Have:
        """Every chunk begins where the one before it ended; returns where the last one ended."""
        for frame in self._emitted(lease):
            assert (frame.chunk.tokens_before, frame.chunk.bytes_before) == (have.tokens, have.bytes)
            have = Have(
                tokens=have.tokens + len(frame.chunk.token_ids), bytes=have.bytes + len(frame.chunk.text.encode())
            )
        return have

    def _emitted(self, lease: str) -> list[w.Emitted]:
        return [f for f in self.said if isinstance(f, w.Emitted) and f.lease == lease]

    def _read(self) -> None:
        assert self.process.stdout is not None
        state = WorkerState.SPAWNING
        try:
            for line in self.process.stdout:
                frame = w.EVENT.validate_json(line)
                if isinstance(frame, w.StateChanged):
                    after = WorkerState(frame.state)
                    assert may_follow(state, after), f"{after} after {state}"
                    state = after
                if not (isinstance(frame, w.LogRecord) and frame.level == "debug"):
                    self._frames.put(frame)
        except (ValueError, AssertionError) as error:
            if self.process.poll() is None:  # a last line may be cut off by the kill
                self._frames.put(error)
        self._frames.put(None)

    def _drain(self) -> None:
        assert self.process.stderr is not None
        self.errors += [line.decode(errors="replace") for line in self.process.stderr]
