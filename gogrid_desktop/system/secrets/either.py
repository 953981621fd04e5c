"""The keyring where it answers, otherwise the file that the person allowed."""

from __future__ import annotations

from gogrid_desktop.errors import SecretStoreError, SecretStoreLocked, SecretStoreUnavailable
from gogrid_desktop.system.secrets import SecretStore


class EitherSecrets:
    """`first` is preferred; a secret written to `second` is found there even when `first` answers again."""

    def __init__(self, first: SecretStore, second: SecretStore) -> None:
        self._first = first
        self._second = second

    def get(self, name: str) -> str | None:
        try:
            value = self._first.get(name)
        except SecretStoreUnavailable:
            return self._second.get(name)
        except SecretStoreLocked:
            value = self._second.get(name)
            if value is None:
                # It may lie in the first one: "not answered" must not look like "not there".
                raise
            return value
        return self._second.get(name) if value is None else value

    def set(self, name: str, value: str) -> None:
        try:
            self._first.set(name, value)
        except SecretStoreError:
            self._second.set(name, value)
        else:
            self._second.delete(name)

    def delete(self, name: str) -> None:
        self._second.delete(name)
        try:
            self._first.delete(name)
        except SecretStoreError:
            # What does not answer cannot be made to forget; nothing of ours was put there while it did not.
            return
