"""`gogrid coordinator`: run the grid's server, and look after it. Every command works while `serve` runs."""

from __future__ import annotations

import json
import logging
import os
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import DownloadColumn, Progress

from gogrid_desktop import log
from gogrid_desktop.cli import people, replicas, work
from gogrid_desktop.cli.operator import DATABASE_VARIABLE, AsJson, Data, in_store, settings_of, show
from gogrid_desktop.coordinator.catalogue import model_of, starter_file
from gogrid_desktop.coordinator.serve import listen, serve, sole_server
from gogrid_desktop.coordinator.store.records import ModelRecord
from gogrid_desktop.errors import BadInput

app = typer.Typer(help="Run the grid's server, and look after it.", no_args_is_help=True)
models = typer.Typer(help="The models that the grid serves.", no_args_is_help=True)
app.add_typer(models, name="models")
for command in (people.invite, people.key, people.accounts, work.nodes, work.jobs):
    app.command()(command)

Context = Annotated[int, typer.Option(help="Longest sequence that the grid offers with the model, in tokens.")]
DEFAULT_CONTEXT = 4096


def _add_models(data: str | None, files: list[Path], model_id: str, context: int, share: bool) -> list[ModelRecord]:
    known = in_store(data, lambda tx: tx.find(ModelRecord))
    added = []
    with Progress(*Progress.get_default_columns(), DownloadColumn(), console=Console(stderr=True)) as progress:
        for file in files:
            task = progress.add_task(f"Reading {file.name}", total=None)

            def hashed(done: int, total: int, task: Any = task) -> None:
                progress.update(task, completed=done, total=total)

            added.append(model_of(file, model_id, context, share, known, hashed))
            progress.remove_task(task)
    in_store(data, lambda tx: tx.put(*added))
    return added


@app.command("serve")
def serve_command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8080,
    data: Data = None,
    model: Annotated[list[Path] | None, typer.Option(help="Model file to offer; may be repeated.")] = None,
    starter: Annotated[bool, typer.Option("--starter", help="Offer the starter model.")] = False,
    context: Context = DEFAULT_CONTEXT,
    share: Annotated[bool, typer.Option(help="Let nodes fetch the model files from here.")] = True,
    replicas_wanted: Annotated[
        int, typer.Option("--replicas", help="How many processes serve; more than 1 need PostgreSQL.")
    ] = 1,
    listen_fd: Annotated[int, typer.Option(hidden=True)] = -1,
    as_json: AsJson = False,
) -> None:
    """Serve the grid until stopped."""
    settings = settings_of(data)
    replicas.check(replicas_wanted, settings.database)
    listening = listen(host, port) if listen_fd < 0 else socket.socket(fileno=listen_fd)
    log.setup()
    url = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
    with sole_server(settings):
        if files := [*(model or []), *([starter_file()] if starter else [])]:
            _add_models(data, files, "", context, share)

        def ready() -> None:
            logging.getLogger("gogrid.coordinator").info("coordinator ready on %s", url)
            if as_json:
                typer.echo(json.dumps({"url": url, "data": str(settings.data)}))

        if replicas_wanted == 1:
            serve(settings, listening, ready)
        else:
            # By the environment, as what it says of the database (a password) is for nobody who lists processes.
            database = {DATABASE_VARIABLE: settings.database}
            replicas.serve(replicas_wanted, listening, ["--json"] if as_json else [], {**os.environ, **database})


@models.command("add")
def add_model(
    file: Annotated[Path | None, typer.Argument(help="A GGUF file.")] = None,
    starter: Annotated[bool, typer.Option("--starter", help="Add the starter model.")] = False,
    model_id: Annotated[str, typer.Option("--id", help="Name that submitters use; the file's name by default.")] = "",
    context: Context = DEFAULT_CONTEXT,
    share: Annotated[bool, typer.Option(help="Let nodes fetch the file from here.")] = True,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Add a model file to the catalogue."""
    if (file is None) is not starter:
        raise BadInput("FILE", str(file), "one file, or --starter")
    (added,) = _add_models(data, [file or starter_file()], model_id, context, share)
    typer.echo(json.dumps(asdict(added)) if as_json else f"{added.id} ({added.sha256}) is in the catalogue.")


@models.command("list")
def list_models(data: Data = None, as_json: AsJson = False) -> None:
    """List the catalogue."""
    found = [asdict(one) for one in in_store(data, lambda tx: tx.find(ModelRecord))]
    columns = ("id", "size_bytes", "context", "shared", "sha256")
    show(as_json, {"models": found}, "models", [{name: one[name] for name in columns} for one in found])
