"""The system's keyring, asked by a process of its own, which ends with its answer.

What it takes to find a keyring and to talk to it (libraries of D-Bus and cryptography) would stay in the agent, which
needs its token once, for as long as it runs. One JSON object goes in on standard input, one comes out on standard
output: a secret is neither an argument nor in the environment.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from gogrid_desktop.errors import SecretStoreError, SecretStoreLocked, SecretStoreUnavailable
from gogrid_desktop.system.bounded import Bounded

COMMAND = (sys.executable, "-m", "gogrid_desktop.system.secrets.asked")
LIMIT_S = 5.0
#: Nobody waits for it any more, but a prompt may still be open: a person finds the keyring unlocked afterwards.
PROMPT_S = 120.0
#: An agent without a console must not open one.
_NO_WINDOW = int(getattr(subprocess, "CREATE_NO_WINDOW", 0))  # Windows alone has it


class AskedSecrets:
    """`command` starts the process; by default this module."""

    def __init__(self, command: Sequence[str] = COMMAND, limit_s: float = LIMIT_S) -> None:
        self._command = tuple(command)
        self._bounded = Bounded("keyring", limit_s)

    def get(self, name: str) -> str | None:
        return self._ask(get=name)

    def set(self, name: str, value: str) -> None:
        self._ask(set=name, value=value)

    def delete(self, name: str) -> None:
        self._ask(delete=name)

    def _ask(self, **question: str) -> str | None:
        try:
            said = self._bounded.call(lambda: self._answer(json.dumps(question).encode()))
        except TimeoutError:
            raise SecretStoreLocked(
                "The system keyring is locked or does not answer.", "Unlock it (a prompt may be open), then try again."
            ) from None
        except OSError as error:
            raise SecretStoreUnavailable(f"The system keyring cannot be asked: {error.strerror}.", "") from None
        if "problem" in said:
            kind = SecretStoreLocked if said["problem"] == "locked" else SecretStoreUnavailable
            raise kind(str(said["message"]), str(said["remedy"]))
        return said["value"]

    def _answer(self, question: bytes) -> dict[str, str | None]:
        ran = subprocess.run(self._command, input=question, stdout=subprocess.PIPE, creationflags=_NO_WINDOW)
        try:
            said = json.loads(ran.stdout)
        except ValueError:
            said = None
        if not isinstance(said, dict) or not said.keys() & {"problem", "value"}:
            return {"problem": "unavailable", "message": "The process that asks the keyring ended.", "remedy": ""}
        return said


def main() -> None:
    """Answer one question."""
    from gogrid_desktop.system.secrets.system_keyring import KeyringSecrets

    question, keyring = json.load(sys.stdin), KeyringSecrets(limit_s=PROMPT_S)
    said: dict[str, str | None] = {"value": None}
    try:
        if "set" in question:
            keyring.set(question["set"], question["value"])
        elif "delete" in question:
            keyring.delete(question["delete"])
        else:
            said["value"] = keyring.get(question["get"])
    except SecretStoreError as error:
        problem = "locked" if isinstance(error, SecretStoreLocked) else "unavailable"
        said = {"problem": problem, "message": error.message, "remedy": error.remedy}
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
