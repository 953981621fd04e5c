"""Sealing what people wrote: texts and token ids are in the database only under the operator's key.

Keys are 32 bytes in URL-safe base64, newest first; the newest seals, any opens, so that a key is rotated by putting a
new one in front. They come from `GOGRID_COORDINATOR_KEY` (separated by commas) or from a file (one on each line) that
is made at need.

A seal is AES-256-GCM: `version (1) | key's id (4) | start (16) | number (8) | text and tag`. Each process draws a start
and makes of it and the key a key of its own (HKDF), under which it counts: no nonce comes twice however much is sealed,
as it could with random ones (NIST SP 800-38D, 8.3).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from functools import lru_cache
from itertools import count
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gogrid_desktop.errors import ConfigError, GoGridError
from gogrid_desktop.paths import private_dir

KEY_VARIABLE = "GOGRID_COORDINATOR_KEY"
_WORD = b"gogrid"
_VERSION = b"\x01"
_KEY_BYTES, _ID_BYTES, _START_BYTES, _NUMBER_BYTES = 32, 4, 16, 8
_HEAD_BYTES = 1 + _ID_BYTES + _START_BYTES + _NUMBER_BYTES


def make_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()


class Vault:
    """Seals and opens with a list of keys, newest first. Raises ConfigError for a key that is none."""

    def __init__(self, keys: list[str]) -> None:
        try:
            raw = [base64.b64decode(key, altchars=b"-_", validate=True) for key in keys]
        except ValueError:
            raw = []
        if not raw or any(len(key) != _KEY_BYTES for key in raw):
            allowed = "keys of 32 bytes in URL-safe base64, separated by commas"
            raise ConfigError(KEY_VARIABLE, "(hidden)", allowed, "Unset it to use the key file.")
        self._newest = keys[0].encode()
        self._keys = {hashlib.sha256(key).digest()[:_ID_BYTES]: key for key in reversed(raw)}
        start = os.urandom(_START_BYTES)
        self._head = _VERSION + hashlib.sha256(raw[0]).digest()[:_ID_BYTES] + start
        self._cipher = _cipher(raw[0], start)
        self._numbers = count()

    def salt(self, account: str, day: int) -> str:
        """What tells the jobs of one account from those of others for a day, and nobody which account it is."""
        return hmac.new(self._newest, f"{account}/{day}".encode(), hashlib.sha256).hexdigest()[:32]

    def seal(self, text: bytes) -> bytes:
        number = next(self._numbers).to_bytes(_NUMBER_BYTES)
        return self._head + number + self._cipher.encrypt(_nonce(number), text, None)

    def open(self, sealed: bytes) -> bytes:
        """Raises GoGridError for what was sealed with another key, or has been changed."""
        key = self._keys.get(sealed[1 : 1 + _ID_BYTES])
        if key is not None and sealed[:1] == _VERSION:
            start = sealed[1 + _ID_BYTES : _HEAD_BYTES - _NUMBER_BYTES]
            number = sealed[_HEAD_BYTES - _NUMBER_BYTES : _HEAD_BYTES]
            try:
                return _cipher(key, start).decrypt(_nonce(number), sealed[_HEAD_BYTES:], None)
            except (InvalidTag, ValueError):
                pass
        raise GoGridError(
            "The texts in this database were sealed with another key.", f"Put the key file back, or set {KEY_VARIABLE}."
        )

    def word(self) -> bytes:
        """Something to keep with the database, that tells later whether a key fits."""
        return self.seal(_WORD)

    def check(self, word: bytes) -> None:
        """Raises GoGridError if the texts of this database were sealed with other keys."""
        self.open(word)


@lru_cache(256)
def _cipher(key: bytes, start: bytes) -> AESGCM:
    """What one process seals with."""
    return AESGCM(HKDF(SHA256(), _KEY_BYTES, salt=start, info=b"gogrid texts").derive(key))


def _nonce(number: bytes) -> bytes:
    return number.rjust(12, b"\0")


def open_vault(key: str, key_file: Path) -> Vault:
    """The vault of the given keys; without any, of the key file, which is made (mode 0600) if it is not there."""
    if key:
        return Vault([part.strip() for part in key.split(",")])
    private_dir(key_file.parent)
    try:
        handle = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return Vault(key_file.read_text().split())
    fresh = make_key()
    with os.fdopen(handle, "w") as file:
        file.write(f"{fresh}\n")
    return Vault([fresh])
