"""Drives llama.cpp's own server over HTTP: same source, same flags, same model and threads as the worker beside it."""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import llama_cpp

from bench.driver import STARTER
from bench.sides import Answer, Request
from gogrid_desktop.worker.limits import usable_cores

_ROOT = Path(__file__).parent.parent
_SYSTEM_INFO = """
import ctypes, sys
info = ctypes.CDLL(sys.argv[1]).llama_print_system_info
info.restype = ctypes.c_char_p
print(info().decode())
"""


@cache
def server_program() -> Path:
    """Where llama-server is; it is built first if it is not there (about 5 minutes)."""
    command = [str(_ROOT / "scripts" / "build-llama-server"), sys.executable]
    built = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Path(built.stdout.strip())


def system_info(library: Path) -> str:
    """CPU features that a build of libllama was compiled with, as llama.cpp names them."""
    command = [sys.executable, "-c", _SYSTEM_INFO, str(library)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def both_system_infos() -> tuple[str, str]:
    """Of the worker's library, and of the peer's."""
    ours = Path(str(llama_cpp.__file__)).parent / "lib" / "libllama.so"
    return system_info(ours), system_info(server_program().parent / "libllama.so")


class _Stream:
    """One request on its socket. Events are separated by an empty line; the last one carries the counts."""

    def __init__(self, connection: socket.socket, answer: Answer) -> None:
        self.connection = connection
        self.answer = answer
        self._rest = b""

    def take(self, data: bytes, now_s: float) -> bool:
        """Whether the answer has ended."""
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            body = event[event.find(b"data: ") + 6 :]
            if b'"stop":true' in body:  # the last of a completion; a quote inside a text would be escaped
                last = json.loads(body)
                return self._end(last["tokens_predicted"], last["tokens_evaluated"], now_s)
            if b'"usage":{' in body:  # the last of a chat
                usage = json.loads(body)["usage"]
                return self._end(usage["completion_tokens"], usage["prompt_tokens"], now_s)
            if b'"content":"' in body:
                self.answer.arrivals.append((now_s, 1))
        return False

    def _end(self, tokens: int, prompt_tokens: int, now_s: float) -> bool:
        self.answer.tokens, self.answer.prompt_tokens, self.answer.ended_s = tokens, prompt_tokens, now_s
        return True


class LlamaServer:
    """llama-server with the starter model. Use as a context manager. `cache`: as it comes, or all of its caches off."""

    name = "llama-server"

    def __init__(self, slots: int, context: int = 1024, *, cache: bool = False, path: str = STARTER) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._address = free.getsockname()
        threads = str(usable_cores())
        command = [str(server_program()), "-m", path, "--host", self._address[0], "--port", str(self._address[1])]
        command += ["-t", threads, "-tb", threads, "-np", str(slots), "-c", str(slots * context)]
        command += ["--no-webui", "--offline", "-fit", "off", "-lv", "2"]
        if not cache:
            command += ["--no-cache-prompt", "--cache-ram", "0"]
        self.command = command
        self._cache = cache
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        self._selector = selectors.DefaultSelector()
        self._wait_until_ready()

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._selector.close()
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def begin(self, request: Request) -> Answer:
        fields: dict[str, object] = {
            "n_predict": request.max_tokens,
            "stream": True,
            "cache_prompt": self._cache,
            "samplers": ["top_k"],  # the least work there is for the most likely token
            "top_k": 1,
        }
        if request.system:
            path = "/v1/chat/completions"
            fields["stream_options"] = {"include_usage": True}
            fields["messages"] = [
                {"role": "system", "content": request.system},
                {"role": "user", "content": request.prompt},
            ]
        else:
            path, fields["prompt"] = "/completion", request.prompt
        body = json.dumps(fields).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        answer = Answer(time.perf_counter())
        connection = socket.create_connection(self._address)
        connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ, _Stream(connection, answer))
        return answer

    def pump(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            stream: _Stream = key.data
            data = stream.connection.recv(1 << 16)
            if not data:
                raise RuntimeError("llama-server hung up in the middle of an answer")
            if stream.take(data, time.perf_counter()):
                self._close(stream)

    def cancel(self, answer: Answer) -> None:
        streams: list[_Stream] = [key.data for key in self._selector.get_map().values()]
        self._close(next(stream for stream in streams if stream.answer is answer))

    def _close(self, stream: _Stream) -> None:
        self._selector.unregister(stream.connection)
        stream.connection.close()

    def _wait_until_ready(self) -> None:
        while True:
            if self._process.poll() is not None:
                self._log.seek(0)
                raise RuntimeError(f"llama-server ended: {self._log.read()[-2000:].decode(errors='replace')}")
            try:
                with urllib.request.urlopen(f"http://{self._address[0]}:{self._address[1]}/health", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
