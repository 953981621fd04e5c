"""Who may: commands about invites, keys and accounts."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from gogrid_desktop.cli.operator import AsJson, Data, in_store, show
from gogrid_desktop.coordinator import auth
from gogrid_desktop.coordinator.store.port import Tx
from gogrid_desktop.coordinator.store.records import AccountRecord, ApiKeyRecord
from gogrid_desktop.errors import BadInput
from gogrid_desktop.protocol.grid import Priority


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
    code = in_store(data, lambda tx: auth.make_invite(tx, uses, expires_h * 3600, now, account))
    value = {"invite": code, "uses": uses, "expires_at": now + expires_h * 3600, "account": account}
    typer.echo(json.dumps(value) if as_json else code)


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
        in_store(data, lambda tx: auth.revoke_key(tx, revoke, now))
        typer.echo(json.dumps({"revoked": revoke}) if as_json else f"{revoke} is revoked.")
        return
    if list_keys:
        rows = [
            {"id": one.id, "account": one.account, "expires_at": one.expires_at, "revoked_at": one.revoked_at}
            for one in in_store(data, lambda tx: tx.find(ApiKeyRecord))
        ]
        show(as_json, {"keys": rows}, "keys", rows)
        return
    expires_s = None if expires_h is None else expires_h * 3600
    key_id, made = in_store(data, lambda tx: auth.make_key(tx, name, priority, expires_s, now))
    typer.echo(json.dumps({"id": key_id, "key": made, "name": name}) if as_json else made)


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

    found = in_store(data, work)
    rows = [{"id": one.id, "name": one.name, "priority": one.max_priority.value} for one in found]
    listed = [{**row, "groups": one.groups} for row, one in zip(rows, found, strict=True)]
    show(
        as_json,
        {"accounts": listed},
        "accounts",
        [{**row, "groups": ", ".join(one.groups)} for row, one in zip(rows, found, strict=True)],
    )
