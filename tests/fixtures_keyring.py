"""A keyring that another process finds by PYTHON_KEYRING_BACKEND: a file, or what `KEYRING_DOES` says."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

NAME = f"{__name__}.KeyringOfTests"


class KeyringOfTests(KeyringBackend):
    priority = 0.1  # type: ignore[assignment]

    def get_password(self, service: str, username: str) -> str | None:
        found = self._kept().get(f"{service} {username}")
        return None if found is None else str(found)

    def set_password(self, service: str, username: str, password: str) -> None:
        self._keep(self._kept() | {f"{service} {username}": password})

    def delete_password(self, service: str, username: str) -> None:
        kept = self._kept()
        del kept[f"{service} {username}"]
        self._keep(kept)

    def _kept(self) -> dict[str, str]:
        match os.environ.get("KEYRING_DOES"):
            case "locked":
                raise KeyringLocked("locked")
            case "hang":
                time.sleep(5)
            case "raise":
                raise RuntimeError("could not get ggn_the-secret-token")
            case "die":
                os._exit(3)
        file = self._file()
        return dict(json.loads(file.read_text())) if file.exists() else {}

    def _keep(self, kept: dict[str, str]) -> None:
        self._file().write_text(json.dumps(kept))

    @staticmethod
    def _file() -> Path:
        return Path(os.environ["KEYRING_FILE"])
