"""A worker without a model, as a program: it obeys the protocol, makes a token a tick, and misbehaves when told to.

    python fixtures_fake_worker.py MARKS [deaf|crash|fail-load|mute]

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
from typing import Any


def say(**frame: Any) -> None:
    sys.stdout.write(json.dumps(frame) + "\n")
    sys.stdout.flush()


def main() -> None:
    marks, how = sys.argv[1], sys.argv[2:]
    commands: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            commands.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    jobs: dict[str, list[int]] = {}
    paused = False
    say(type="hello", version="fake", pid=os.getpid())
    while True:
        try:
            command = commands.get(timeout=0.01)
        except queue.Empty:
            command = {"type": "tick"}
        kind = command["type"]
        if kind == "load" and "fail-load" in how:
            say(type="load_failed", sha256=command["sha256"], message="The file is no model.", remedy="Fetch it again.")
        elif kind == "load":
            say(type="loaded", sha256=command["sha256"], context=command["context"], slots=command["slots"], load_s=0.0)
            say(type="state", state="ready")
        elif kind == "start":
            have = command["job"]["have"]
            jobs[command["lease"]] = [have["tokens"], have["bytes"]]
            with open(marks, "a") as out:  # noqa: PTH123
                out.write(f"{command['lease']} {have['tokens']}\n")
        elif kind == "cancel":
            jobs.pop(command["lease"], None)
            say(type="cancelled", lease=command["lease"])
        elif kind in ("pause", "resume", "limits"):
            if kind == "pause" and "deaf" in how:
                time.sleep(30)
            paused = kind == "pause" or (paused and kind == "limits")
            say(type="applied", seq=command["seq"], took_ms=0.0)
        elif kind == "ping" and "mute" not in how:
            say(type="pong", seq=command["seq"], steps=0, running=len(jobs), rss_bytes=1)
        elif kind == "tick" and not paused:
            for lease, (tokens, size) in jobs.items():
                chunk = {"tokens_before": tokens, "bytes_before": size, "token_ids": [tokens], "text": "x"}
                say(type="emitted", lease=lease, chunk=chunk)
                jobs[lease] = [tokens + 1, size + 1]
                if "crash" in how and tokens == 3:
                    os.kill(os.getpid(), signal.SIGSEGV)


if __name__ == "__main__":
    main()
