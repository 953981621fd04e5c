"""`gogrid coordinator`: run the grid's server, and look after it. Every command works while `serve` runs."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import DownloadColumn, Progress
from rich.table import Table
from rich.text import Text

from gogrid_desktop import log
from gogrid_desktop.cli import replicas
from gogrid_desktop.coordinator import auth
from gogrid_desktop.coordinator.catalogue import model_of, starter_file
from gogrid_desktop.coordinator.crypto import KEY_VARIABLE
from gogrid_desktop.coordinator.desk import ledger_of
from gogrid_desktop.coordinator.serve import listen, serve, sole_server
from gogrid_desktop.coordinator.settings import CoordinatorSettings
from gogrid_desktop.coordinator.store.opening import open_store
from gogrid_desktop.coordinator.store.port import Tx
from gogrid_desktop.coordinator.store.records import AccountRecord, ApiKeyRecord, JobRecord, ModelRecord, NodeRecord
from gogrid_desktop.errors import BadInput
from gogrid_desktop.paths import app_paths
from gogrid_desktop.protocol.grid import Priority, ShareWith

T = TypeVar("T")

app = typer.Typer(help="Run the grid's server, and look after it.", no_args_is_help=True)
models = typer.Typer(help="The models that the grid serves.", no_args_is_help=True)
app.add_typer(models, name="models")

DATABASE_VARIABLE = "GOGRID_DATABASE"
Data = Annotated[
    str | None,
    typer.Option(
        *("--data", "--database"),
        envvar=DATABASE_VARIABLE,
        help="Folder of the database, or postgresql://user:password@host/name. Default: the user's own folder.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Context = Annotated[int, typer.Option(help="Longest sequence that the grid offers with the model, in tokens.")]
DEFAULT_CONTEXT = 4096


def _settings(data: str | None) -> CoordinatorSettings:
    key, place = os.environ.get(KEY_VARIABLE, ""), data or ""
    if "://" in place:
        return CoordinatorSettings(data=app_paths().coordinator, key=key, database=place)
    return CoordinatorSettings(data=Path(place) if place else app_paths().coordinator, key=key)


def _in_store(data: str | None, work: Callable[[Tx], T]) -> T:
    """Run one transaction on the database, beside a server that may be running. Raises GoGridErrors."""
    store = open_store(_settings(data))

    async def whole() -> T:
        try:
            return await store.write(work)
        finally:
            await store.close()

    return asyncio.run(whole())


def _show(as_json: bool, value: Any, title: str, rows: list[dict[str, Any]]) -> None:
    """Print `value` as JSON, or `rows` as a table."""
    if as_json:
        typer.echo(json.dumps(value))
        return
    if not rows:
        typer.echo(f"No {title}.")
        return
    table = Table(*rows[0], title=title, title_justify="left")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row.values()))
    Console(highlight=False).print(table)


def _ago(at: float) -> str:
    seconds = max(0, int(time.time() - at))
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago"


def _add_models(data: str | None, files: list[Path], model_id: str, context: int, share: bool) -> list[ModelRecord]:
    known = _in_store(data, lambda tx: tx.find(ModelRecord))
    added = []
    with Progress(*Progress.get_default_columns(), DownloadColumn(), console=Console(stderr=True)) as progress:
        for file in files:
            task = progress.add_task(f"Reading {file.name}", total=None)

            def hashed(done: int, total: int, task: Any = task) -> None:
                progress.update(task, completed=done, total=total)

            added.append(model_of(file, model_id, context, share, known, hashed))
            progress.remove_task(task)
    _in_store(data, lambda tx: tx.put(*added))
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
    settings = _settings(data)
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


@app.command()
def invite(
    uses: Annotated[int, typer.Option(help="How many machines may join with it.")] = 1,
    expires_h: Annotated[float, typer.Option(help="Hours until it expires.")] = 24.0,
    account: Annotated[
        str | None, typer.Option(help="Account whose own the machines are; they do its jobs first.")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make an invite code for machines to join with. It is shown once."""
    now = time.time()
    code = _in_store(data, lambda tx: auth.make_invite(tx, uses, expires_h * 3600, now, account))
    value = {"invite": code, "uses": uses, "expires_at": now + expires_h * 3600, "account": account}
    typer.echo(json.dumps(value) if as_json else code)


@app.command()
def key(
    name: Annotated[str, typer.Option(help="Account of the key; made if it is not there.")] = "default",
    priority: Annotated[Priority, typer.Option(help="Highest priority that the account may ask for.")] = Priority.HIGH,
    expires_h: Annotated[float | None, typer.Option(help="Hours until it expires; without, never.")] = None,
    revoke: Annotated[str | None, typer.Option(help="Id of a key that shall not hold any more.")] = None,
    list_keys: Annotated[
        bool, typer.Option("--list", help="List the keys instead (they themselves are not kept).")
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key for a submitter. It is shown once."""
    now = time.time()
    if revoke is not None:
        _in_store(data, lambda tx: auth.revoke_key(tx, revoke, now))
        typer.echo(json.dumps({"revoked": revoke}) if as_json else f"{revoke} is revoked.")
        return
    if list_keys:
        rows = [
            {"id": one.id, "account": one.account, "expires_at": one.expires_at, "revoked_at": one.revoked_at}
            for one in _in_store(data, lambda tx: tx.find(ApiKeyRecord))
        ]
        _show(as_json, {"keys": rows}, "keys", rows)
        return
    expires_s = None if expires_h is None else expires_h * 3600
    key_id, made = _in_store(data, lambda tx: auth.make_key(tx, name, priority, expires_s, now))
    typer.echo(json.dumps({"id": key_id, "key": made, "name": name}) if as_json else made)


@app.command()
def accounts(
    name: Annotated[str | None, typer.Option(help="Account whose groups to set; with --groups.")] = None,
    groups: Annotated[
        str | None, typer.Option(help="Its groups, such as family,lab; '' for none. Machines may share with groups.")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List the accounts of the grid, or set the groups of one. `gogrid coordinator key` makes them."""
    both = "--name and --groups together, or neither of them"
    if name is not None and groups is None:
        raise BadInput("name", name, both, "Say --groups '' to take it out of all groups.")
    if name is None and groups is not None:
        raise BadInput("groups", groups, both, "Say with --name whose groups they are.")

    def work(tx: Tx) -> list[AccountRecord]:
        return tx.find(AccountRecord) if name is None or groups is None else [auth.set_groups(tx, name, groups)]

    found = _in_store(data, work)
    rows = [{"id": one.id, "name": one.name, "priority": one.max_priority.value} for one in found]
    listed = [{**row, "groups": one.groups} for row, one in zip(rows, found, strict=True)]
    _show(
        as_json,
        {"accounts": listed},
        "accounts",
        [{**row, "groups": ", ".join(one.groups)} for row, one in zip(rows, found, strict=True)],
    )


@app.command()
def nodes(
    remove: Annotated[str | None, typer.Option(help="Id of a node whose token shall not hold any more.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List the machines of the grid, or remove one."""

    def work(tx: Tx) -> tuple[list[tuple[NodeRecord, int]], dict[str | None, str]]:
        if remove is not None:
            node = tx.one(NodeRecord, id=remove)
            if node is None:
                raise BadInput("remove", remove, "the id of a node", "`gogrid coordinator nodes` shows them.")
            tx.put(replace(node, expires_at=time.time()))
        leased = [record.leased_to for record in tx.leased()]
        names: dict[str | None, str] = {account.id: account.name for account in tx.find(AccountRecord)}
        return [(node, leased.count(node.id)) for node in tx.find(NodeRecord)], names

    found, names = _in_store(data, work)
    listed = [
        {
            **{name: value for name, value in asdict(node).items() if name != "token_hash"},
            "leases": leases,
        }
        for node, leases in found
    ]
    rows = [
        {
            "id": node.id,
            "name": node.name,
            "platform": node.platform,
            "version": node.version,
            "last seen": _ago(node.last_seen),
            "serves": _serves(node, names.get(node.account)),
            "leases": leases,
            "removed": "" if node.expires_at is None else "yes",
        }
        for node, leases in found
    ]
    _show(as_json, {"nodes": listed}, "nodes", rows)


def _serves(node: NodeRecord, account: str | None) -> str:
    """Whose jobs a node takes, its own account's first."""
    others = {ShareWith.EVERYONE: ("everyone",), ShareWith.GROUPS: node.groups, ShareWith.OWN: ()}[node.share_with]
    return ", ".join([account, *others] if account else others) or "nobody"


@app.command()
def jobs(
    ledger: Annotated[bool, typer.Option("--ledger", help="Show which node gave which positions.")] = False,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest jobs to show.")] = 50,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show jobs: states, counts, and the ledger. Never texts."""

    def work(tx: Tx) -> tuple[dict[str, int], list[dict[str, Any]]]:
        counts: dict[str, int] = {}
        for (_, state), count in tx.counts().items():
            counts[state] = counts.get(state, 0) + count
        return counts, [_job(tx, record, ledger) for record in tx.newest(last)]

    counts, listed = _in_store(data, work)
    columns = ("id", "state", "tokens", "bytes", "leases", "attempts", "node", "error")
    rows = [{name: job[name] for name in columns} for job in listed]
    _show(as_json, {"counts": counts, "jobs": listed}, "jobs", rows)
    if as_json:
        return
    typer.echo(", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "Nothing was asked yet.")
    if ledger:
        entries = [{"job": job["id"], **entry} for job in listed for entry in job["ledger"]]
        _show(False, None, "ledger", entries)


def _job(tx: Tx, record: JobRecord, ledger: bool) -> dict[str, Any]:
    job = record.job
    return {
        "id": job.id,
        "request": record.request,
        "state": job.state.value,
        "model": record.model,
        "priority": record.priority.value,
        "tokens": job.tokens,
        "bytes": job.bytes,
        "prompt_tokens": job.prompt_tokens,
        "leases": job.fence,
        "attempts": job.attempts,
        "node": record.leased_to,
        "finish_reason": job.finish and job.finish.value,
        "error": job.error and job.error.code,
        **({"ledger": [entry.model_dump(mode="json") for entry in ledger_of(tx, job.id)]} if ledger else {}),
    }


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
    found = [asdict(one) for one in _in_store(data, lambda tx: tx.find(ModelRecord))]
    columns = ("id", "size_bytes", "context", "shared", "sha256")
    _show(as_json, {"models": found}, "models", [{name: one[name] for name in columns} for one in found])
