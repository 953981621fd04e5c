"""Where the node's token is kept. One file per store; all raise errors of ours and answer within 5 s."""

from __future__ import annotations

from typing import Protocol


class SecretStore(Protocol):
    """Texts by name. Every call may raise SecretStoreLocked (waits for the person) or SecretStoreUnavailable."""

    def get(self, name: str) -> str | None:
        """The secret, or None when none is kept under this name."""
        ...

    def set(self, name: str, value: str) -> None:
        """Keep a secret, in the place of an earlier one."""
        ...

    def delete(self, name: str) -> None:
        """Forget a secret; one that is not there is no error."""
        ...
