"""The settings file: read forgivingly, changed all or nothing, written whole or not at all, comments kept.

A file that is no TOML is kept aside and never thrown away; single values that cannot be taken fall back to their
defaults, and unknown names stay in the file, each with a word about it in `notice`. A file of a newer version is
refused, because an older program must not write over it.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError
from tomlkit.exceptions import TOMLKitError

from gogrid_desktop.config.fields import FIELDS, refused, unknown
from gogrid_desktop.config.settings import VERSION, Settings, flatten
from gogrid_desktop.errors import ConfigError, GoGridError, StorageFull
from gogrid_desktop.paths import write_private

#: What cannot be understood in one of these, a mistyped name too, must not end in giving more than was meant.
_HOW_MUCH = ("role.", "sharing.", "presence.", "schedule.", "work.")


def change(settings: Settings, values: dict[str, object]) -> Settings:
    """`settings` with these dotted names changed, all or none. Texts become the field's type. Raises ConfigError."""
    tree = settings.model_dump()
    for name, value in values.items():
        if name not in FIELDS:
            raise unknown(name)
        *sections, key = name.split(".")
        branch = tree
        for section in sections:
            branch = branch[section]
        branch[key] = value
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise refused(error.errors(include_url=False)[0]) from error


class SettingsStore:
    """The settings of one file, and their only writer. Raises GoGridError where the file cannot be read at all.

    `notice`: what the person should know about the file as it was found; empty when all is well.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notice = ""
        self._document = tomlkit.document()
        self.settings = Settings()
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise GoGridError(
                f"The settings file {path} cannot be read: {error.strerror}.", "Mend its permissions, or move it away."
            ) from error
        self._read(text)

    def change(self, values: dict[str, object]) -> None:
        """Change settings by dotted names, all or none, and save them. Raises ConfigError, StorageFull, GoGridError."""
        changed = change(self.settings, values)
        flat = changed.flat()
        document = tomlkit.parse(tomlkit.dumps(self._document))
        document.setdefault("version", VERSION)
        for name in values:
            _put(document, name, flat[name])
        self._save(tomlkit.dumps(document))
        self._document, self.settings = document, changed

    def _read(self, data: bytes) -> None:
        try:
            document = tomlkit.parse(data.decode())
            tree = document.unwrap()
        except (UnicodeDecodeError, TOMLKitError) as error:
            self._keep_aside(f"it is no TOML ({type(error).__name__})")
            return
        version = tree.get("version", VERSION)
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            self._keep_aside(f"its version is {version!r}")
            return
        if version > VERSION:
            raise ConfigError(
                "version",
                version,
                f"this GoGrid knows settings up to version {VERSION}",
                f"Update GoGrid, or move {self.path} away.",
            )
        self._document = document
        self._take(flatten({key: value for key, value in tree.items() if key != "version"}))

    def _take(self, found: dict[str, Any]) -> None:
        """Take every value that can be taken."""
        words: list[str] = []
        careful = False
        for name, value in found.items():
            if name not in FIELDS:
                words.append(f"There is no setting {name}; it was left alone.")
                careful = careful or f"{name}.".startswith(_HOW_MUCH)
                continue
            try:
                self.settings = change(self.settings, {name: value})
            except ConfigError as error:
                words.append(f"{error.message} The default is used.")
                careful = careful or f"{name}.".startswith(_HOW_MUCH)
        if careful and self.settings.sharing.enabled:
            self.settings = change(self.settings, {"sharing.enabled": False})
            words.append("Sharing is off until you switch it on.")
        if words:
            self.notice = f"{self.path}: {' '.join(words)}"

    def _keep_aside(self, why: str) -> None:
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.broken-{number}")).exists():
            number += 1
        self.path.rename(aside)
        self.notice = f"The settings could not be read: {why}. They are kept as {aside}; the defaults are used."

    def _save(self, text: str) -> None:
        try:
            write_private(self.path, text.encode())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(
                    f"The disk that holds {self.path} is full.", "Free some space; nothing changed."
                ) from error
            raise GoGridError(
                f"{self.path} cannot be written: {error.strerror}.", "Mend its permissions; nothing changed."
            ) from error


def _put(document: tomlkit.TOMLDocument, name: str, value: Any) -> None:
    """Write one value where it belongs; None has no form in TOML and is left out."""
    *sections, key = name.split(".")
    table: Any = document
    for section in sections:
        if not isinstance(table.get(section), dict):
            table[section] = tomlkit.table()
        table = table[section]
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
