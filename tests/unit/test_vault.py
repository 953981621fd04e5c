"""Sealing texts with the operator's key."""

from __future__ import annotations

from pathlib import Path

import pytest

from gogrid_desktop.coordinator.crypto import Vault, make_key, open_vault
from gogrid_desktop.errors import ConfigError, GoGridError

OLD, NEW = make_key(), make_key()


def test_a_key_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "data" / "texts.key"
    sealed = open_vault("", file).seal(b"text")
    assert file.stat().st_mode & 0o777 == 0o600
    assert open_vault("", file).open(sealed) == b"text"


def test_sealed_text_does_not_show() -> None:
    assert b"text" not in Vault([OLD]).seal(b"text")


def test_the_newest_key_seals_and_older_ones_still_open(tmp_path: Path) -> None:
    sealed_before = Vault([OLD]).seal(b"text")
    rotated = open_vault(f"{NEW}, {OLD}", tmp_path / "none")
    assert rotated.open(sealed_before) == b"text"
    assert Vault([NEW]).open(rotated.seal(b"later")) == b"later"
    assert not (tmp_path / "none").exists()


def test_another_key_is_told_by_the_word_that_was_kept() -> None:
    word = Vault([OLD]).word()
    Vault([NEW, OLD]).check(word)
    with pytest.raises(GoGridError, match="another key"):
        Vault([NEW]).check(word)


@pytest.mark.parametrize("key", ["secret", "secret,", f"{OLD},secret"])
def test_a_key_that_is_none_is_refused_without_showing_it(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_vault(key, tmp_path / "none")
    assert "GOGRID_COORDINATOR_KEY" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_damaged_key_file_is_said(tmp_path: Path) -> None:
    file = tmp_path / "texts.key"
    for content in ("", "garbage\n"):
        file.write_text(content)
        with pytest.raises(ConfigError):
            open_vault("", file)


def test_the_salt_of_an_account_is_its_own_for_a_day_and_needs_the_key() -> None:
    vault = Vault([OLD])
    salts = {vault.salt(account, day) for account in ("a", "b") for day in (1, 2)} | {Vault([NEW]).salt("a", 1)}
    assert len(salts) == 5
    assert vault.salt("a", 1) == Vault([OLD]).salt("a", 1)
    assert "a/1" not in vault.salt("a", 1)


def test_what_was_changed_is_not_opened() -> None:
    vault = Vault([OLD])
    sealed = vault.seal(b"text")
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(GoGridError):
            vault.open(changed)
    with pytest.raises(GoGridError):
        vault.open(b"")


def test_no_two_seals_are_alike_in_one_process_or_two() -> None:
    vaults = Vault([OLD]), Vault([OLD])
    assert len({vault.seal(b"text") for vault in vaults for _ in range(100)}) == 200
