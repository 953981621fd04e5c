"""The MPS control daemon, asked through its own program: one command on its standard input, the answer on its output.

The program finds the daemon itself (`CUDA_MPS_PIPE_DIRECTORY`, /tmp/nvidia-mps by default) and fails where none runs.
"""

from __future__ import annotations

import subprocess

from gogrid_desktop.system.mps import MpsAnswer

PROGRAM = "nvidia-cuda-mps-control"
_LIMIT_S = 2.0


class MpsControl:
    """`program`: found on the PATH. `limit_s`: longest wait for one answer."""

    def __init__(self, program: str = PROGRAM, limit_s: float = _LIMIT_S) -> None:
        self._program = program
        self._limit_s = limit_s

    def ask(self) -> MpsAnswer:
        try:
            return MpsAnswer(servers=_numbers(self._tell("get_server_list")))
        except FileNotFoundError:
            return MpsAnswer(problem=f"{self._program} is not installed")
        except subprocess.TimeoutExpired:
            return MpsAnswer(problem=f"{self._program} does not answer within {self._limit_s:g} s")
        except subprocess.CalledProcessError as error:
            said = (error.stderr or error.stdout or "").strip() or f"it ended with {error.returncode}"
            return MpsAnswer(problem=f"no MPS daemon answers ({said})")
        except OSError as error:
            return MpsAnswer(problem=f"{self._program} cannot be run ({error})")

    def end_client(self, pid: int) -> bool:
        try:
            for server in self.ask().servers:
                if pid in _numbers(self._tell(f"get_client_list {server}")):
                    self._tell(f"terminate_client {server} {pid}")
                    return True
        except (OSError, subprocess.SubprocessError):
            return False  # the daemon went away meanwhile, and with it every client's work
        return False

    def _tell(self, command: str) -> str:
        done = subprocess.run(
            [self._program], input=f"{command}\n", capture_output=True, text=True, timeout=self._limit_s, check=True
        )
        return done.stdout


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split() if word.isdigit())
