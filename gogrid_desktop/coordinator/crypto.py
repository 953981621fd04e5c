"""Sealing what people wrote: texts and token ids are in the database only under the operator's key.

Keys are Fernet keys, newest first; the newest seals, any opens, so that a key is rotated by putting a new one in front.
They come from `GOGRID_COORDINATOR_KEY` (separated by commas) or from a file (one on each line) that is made at need.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from gogrid_desktop.errors import ConfigError, GoGridError
from gogrid_desktop.paths import private_dir

KEY_VARIABLE = "GOGRID_COORDINATOR_KEY"
_WORD = b"gogrid"


class Vault:
    """Seals and opens with a list of keys, newest first. Raises ConfigError for a key that is none."""

    def __init__(self, keys: list[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            allowed = "keys of 32 bytes in URL-safe base64, separated by commas"
            raise ConfigError(KEY_VARIABLE, "(hidden)", allowed, "Unset it to use the key file.") from None
        self._newest = keys[0].encode()

    def salt(self, account: str, day: int) -> str:
        """What tells the jobs of one account from those of others for a day, and nobody which account it is."""
        return hmac.new(self._newest, f"{account}/{day}".encode(), hashlib.sha256).hexdigest()[:32]

    def seal(self, text: bytes) -> bytes:
        return self._fernet.encrypt(text)

    def open(self, sealed: bytes) -> bytes:
        return self._fernet.decrypt(sealed)

    def word(self) -> bytes:
        """Something to keep with the database, that tells later whether a key fits."""
        return self.seal(_WORD)

    def check(self, word: bytes) -> None:
        """Raises GoGridError if the texts of this database were sealed with other keys."""
        try:
            self.open(word)
        except InvalidToken:
            raise GoGridError(
                "The texts in this database were sealed with another key.",
                f"Put the key file back, or set {KEY_VARIABLE}.",
            ) from None


def open_vault(key: str, key_file: Path) -> Vault:
    """The vault of the given keys; without any, of the key file, which is made (mode 0600) if it is not there."""
    if key:
        return Vault([part.strip() for part in key.split(",")])
    private_dir(key_file.parent)
    try:
        handle = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return Vault(key_file.read_text().split())
    fresh = Fernet.generate_key()
    with os.fdopen(handle, "wb") as file:
        file.write(fresh + b"\n")
    return Vault([fresh.decode()])
