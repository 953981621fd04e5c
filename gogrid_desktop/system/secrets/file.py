"""Secrets in a file of mode 0600, in the clear: only where no keyring answers and the person allowed it by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from gogrid_desktop.errors import SecretStoreUnavailable
from gogrid_desktop.paths import write_private


class FileSecrets:
    """One JSON object of names to texts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, name: str) -> str | None:
        return self._read().get(name)

    def set(self, name: str, value: str) -> None:
        self._write(lambda values: values.update({name: value}))

    def delete(self, name: str) -> None:
        if name in self._read():
            self._write(lambda values: values.pop(name))

    def _read(self) -> dict[str, str]:
        try:
            values = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            # The content stays out of the message and of the chained error.
            raise self._unusable(f"cannot be read ({type(error).__name__})") from None
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise self._unusable("is not of the form that GoGrid writes")
        return values

    def _write(self, change: Callable[[dict[str, str]], object]) -> None:
        values = self._read()
        change(values)
        try:
            write_private(self._path, json.dumps(values).encode())
        except OSError as error:
            raise self._unusable(f"cannot be written ({error.strerror})") from error

    def _unusable(self, what: str) -> SecretStoreUnavailable:
        return SecretStoreUnavailable(f"{self._path} {what}.", "Mend it or move it away, then join again.")
