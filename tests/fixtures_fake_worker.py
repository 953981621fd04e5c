"""A worker without a model, as a program: it obeys the protocol, makes a token a tick, and misbehaves when told to.

    python fixtures_fake_worker.py MARKS [deaf|crash|fail-load|fail-once|mute|hang|illegal|stubborn|blind]

It appends a line to the file MARKS for each job it starts: the lease and how many tokens were there.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any


def say(**frame: Any) -> None:
    sys.stdout.write(json.dumps(frame) + "\n")
    sys.stdout.flush()


class Worker:
    def __init__(self, marks: Path, how: list[str]) -> None:
        self.marks, self.how = marks, how
        self.commands: queue.Queue[dict[str, Any]] = queue.Queue()
        self.jobs: dict[str, list[int]] = {}
        self.paused = False
        self.nice = 0
        self.loaded = False
        self.steps = 0
        self.stuck_since = 0.0

    def read(self) -> None:
        """As the real one does: pings are answered by this thread, and the end of the input is the end."""
        for line in sys.stdin:
            command = json.loads(line)
            if command["type"] != "ping":
                self.commands.put(command)
            elif "mute" not in self.how:
                busy_s = time.monotonic() - self.stuck_since if self.stuck_since else 0.0
                pong = {"steps": self.steps, "running": len(self.jobs), "rss_bytes": 1, "busy_s": busy_s}
                say(type="pong", seq=command["seq"], **pong)
        os._exit(0)

    def serve(self) -> None:
        threading.Thread(target=self.read, daemon=True).start()
        say(type="hello", version="fake", pid=os.getpid(), backends=["CPU"])
        while True:
            try:
                self.obey(self.commands.get(timeout=0.01))
            except queue.Empty:
                if not self.paused:
                    self.step()

    def obey(self, command: dict[str, Any]) -> None:
        match command["type"]:
            case "load":
                self.load(command)
            case "start":
                if not self.jobs:
                    say(type="state", state="processing")
                have = command["job"]["have"]
                self.jobs[command["lease"]] = [have["tokens"], have["bytes"]]
                with self.marks.open("a") as out:
                    out.write(f"{command['lease']} {have['tokens']}\n")
            case "cancel":
                if self.jobs.pop(command["lease"], None) is not None and not self.jobs:
                    say(type="state", state="idle")
                say(type="cancelled", lease=command["lease"])
            case "unload" if "stubborn" in self.how:
                time.sleep(30)
            case "unload" if self.loaded:
                say(type="state", state="evicting")
                for lease in self.jobs:
                    say(type="cancelled", lease=lease)
                self.jobs.clear()
                say(type="state", state="spawning")
                say(type="unloaded")
            case "pause" | "resume" | "limits" as kind:
                if kind == "pause" and "deaf" in self.how:
                    time.sleep(30)
                self.paused = kind == "pause" or (self.paused and kind == "limits")
                rank = None
                if kind == "limits" and "ordinary" in self.how:  # whose nice value goes one way
                    wanted = command["limits"]["nice"]
                    self.nice = max(self.nice, wanted)
                    rank = {"nice": self.nice, "needs_restart": self.nice > wanted}
                say(type="applied", seq=command["seq"], took_ms=0.0, rank=rank)

    def load(self, command: dict[str, Any]) -> None:
        if "illegal" in self.how:
            say(type="state", state="processing")
        say(type="state", state="loading")
        tried = self.marks.with_suffix(".tried")
        if "fail-load" in self.how or ("fail-once" in self.how and not tried.exists()):
            tried.touch()
            say(type="load_failed", sha256=command["sha256"], message="The file is no model.", remedy="Fetch it again.")
            say(type="state", state="failed")
            return
        self.loaded = True
        say(type="loaded", sha256=command["sha256"], context=command["context"], slots=command["slots"], load_s=0.0)
        say(type="state", state="ready")

    def step(self) -> None:
        for lease, (tokens, size) in self.jobs.items():
            if "hang" in self.how and tokens == 3 and not (hung := self.marks.with_suffix(".hung")).exists():
                hung.touch()
                self.stuck_since = time.monotonic() - 1000
                time.sleep(60)
            chunk = {"tokens_before": tokens, "bytes_before": size, "token_ids": [tokens], "text": "x"}
            say(type="emitted", lease=lease, chunk=chunk)
            self.jobs[lease] = [tokens + 1, size + 1]
            if "crash" in self.how and tokens == 3:
                os.kill(os.getpid(), signal.SIGSEGV)
        self.steps += bool(self.jobs)


if __name__ == "__main__":
    Worker(Path(sys.argv[1]), sys.argv[2:]).serve()
