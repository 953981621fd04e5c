"""Secrets in the system's keyring (Secret Service, KWallet, Windows Credential Locker, macOS Keychain).

Even finding out which keyring there is may block on D-Bus, and a locked one blocks on its prompt; so everything, the
import of its backends too, happens in a bounded call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import keyring
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.errors import KeyringLocked

from gogrid_desktop.errors import SecretStoreLocked, SecretStoreUnavailable
from gogrid_desktop.system.bounded import Bounded

SERVICE = "gogrid"
LIMIT_S = 5.0
T = TypeVar("T")


class KeyringSecrets:
    """`find` names the backend; by default the one that the keyring package chooses."""

    def __init__(self, find: Callable[[], KeyringBackend] = keyring.get_keyring, limit_s: float = LIMIT_S) -> None:
        self._find = find
        self._bounded = Bounded("keyring", limit_s)

    def get(self, name: str) -> str | None:
        return self._ask(lambda backend: backend.get_password(SERVICE, name))

    def set(self, name: str, value: str) -> None:
        self._ask(lambda backend: backend.set_password(SERVICE, name, value))

    def delete(self, name: str) -> None:
        def forget(backend: KeyringBackend) -> None:
            if backend.get_password(SERVICE, name) is not None:
                backend.delete_password(SERVICE, name)

        self._ask(forget)

    def backend(self) -> str:
        """Name of the keyring that answers, for a person. Raises SecretStoreLocked, SecretStoreUnavailable."""
        return self._ask(lambda backend: backend.name)

    def _ask(self, ask: Callable[[KeyringBackend], T]) -> T:
        try:
            return self._bounded.call(lambda: ask(_usable(self._find())))
        except SecretStoreUnavailable:
            raise
        except (TimeoutError, KeyringLocked):
            raise SecretStoreLocked(
                "The system keyring is locked or does not answer.", "Unlock it (a prompt may be open), then try again."
            ) from None
        except Exception as error:  # noqa: BLE001 - backends raise what they like, D-Bus errors among them
            # Its name alone: what a backend puts into its messages is not known.
            raise _unavailable(type(error).__name__) from None


def _usable(backend: KeyringBackend) -> KeyringBackend:
    kind = type(backend)
    if isinstance(backend, fail.Keyring | null.Keyring):
        raise _unavailable("none is installed or running")
    if kind.__module__.startswith("keyrings.alt") and "Plaintext" in kind.__name__:
        raise _unavailable("the one that is set up keeps secrets in the clear")
    return backend


def _unavailable(why: str) -> SecretStoreUnavailable:
    return SecretStoreUnavailable(
        f"No system keyring can keep the node's token: {why}.",
        "Start one (gnome-keyring, KWallet, KeePassXC), or allow a file that only you can read: "
        "--allow-plaintext-token, or for good: gogrid settings set secrets.allow_plaintext true",
    )
