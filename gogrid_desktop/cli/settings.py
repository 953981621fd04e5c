"""`gogrid settings show|set`."""

from __future__ import annotations

import json as jsonlib
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from gogrid_desktop.cli.settings_writer import write_settings
from gogrid_desktop.config.ceiling import FILE, CeilingFile
from gogrid_desktop.config.fields import FIELDS, allowed
from gogrid_desktop.config.store import SettingsStore
from gogrid_desktop.core.activity import NO_CEILING
from gogrid_desktop.errors import BadInput
from gogrid_desktop.paths import app_paths
from gogrid_desktop.system import host

app = typer.Typer(help="What you can set, and what it is set to.", no_args_is_help=True)


@app.command()
def show(json: Annotated[bool, typer.Option("--json", help="Names and values as one JSON object.")] = False) -> None:
    """Every setting, its value, what it may be and what it does."""
    store = SettingsStore(app_paths().settings_file)
    values = store.settings.flat()
    if json:
        typer.echo(jsonlib.dumps(values))
    else:
        table = Table("setting", "value", "what it is", box=None, pad_edge=False)
        table.columns[0].no_wrap = True
        for name, field in FIELDS.items():
            what = ": ".join(words for words in (field.description, allowed(name)) if words)
            table.add_row(name, in_words(values[name]).replace(",", ",\n"), what)
        Console(highlight=False, markup=False).print(table)
        ceiling = CeilingFile(host.administrator_folder() / FILE).read()
        if ceiling != NO_CEILING:
            locked = f"Locked: {ceiling.sentence}, whatever is set here."
            Console(highlight=False, markup=False).print(locked, soft_wrap=True)
    if store.notice:
        Console(stderr=True, highlight=False, markup=False).print(store.notice, soft_wrap=True)


@app.command("set", context_settings={"ignore_unknown_options": True})
def set_values(
    names_and_values: Annotated[list[str], typer.Argument(metavar="NAME VALUE [NAME VALUE]...", show_default=False)],
) -> None:
    """Change settings, all that are given or none. A list is separated by commas, "" empties a text."""
    if len(names_and_values) % 2:
        raise BadInput(names_and_values[-1], "", "a value after every name", "gogrid settings set NAME VALUE")
    values: dict[str, Any] = dict(zip(names_and_values[::2], names_and_values[1::2], strict=True))
    stored = write_settings(values)
    for name in values:
        typer.echo(f"{name} = {in_words(stored[name])}")


def in_words(value: Any) -> str:
    """A value as `set` would read it."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
