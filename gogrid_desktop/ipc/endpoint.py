"""Where the running agent listens: a small file in the runtime folder, readable by its owner alone.

On POSIX a unix socket (0600), elsewhere a loopback TCP port; the token is required on both.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from gogrid_desktop.errors import AgentUnavailable
from gogrid_desktop.paths import write_private


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`address` is a socket path for `unix`, `host:port` for `tcp`."""

    transport: str
    address: str
    token: str
    pid: int
    version: int


def new_token() -> str:
    import secrets  # brings OpenSSL with it, which the tray has no use for

    return secrets.token_urlsafe(24)


def write_endpoint(path: Path, endpoint: Endpoint) -> None:
    """Write atomically with mode 0600."""
    write_private(path, json.dumps(asdict(endpoint)).encode())


def read_endpoint(path: Path) -> Endpoint:
    """Read it; AgentUnavailable when there is none or it is not whole."""
    try:
        return Endpoint(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise AgentUnavailable("No GoGrid agent runs for this user.", "Start it with: gogrid agent run") from None
    except (OSError, ValueError, TypeError) as error:
        raise AgentUnavailable(
            f"The agent's address in {path} cannot be read: {error}.", "Restart the agent: gogrid agent run"
        ) from error
