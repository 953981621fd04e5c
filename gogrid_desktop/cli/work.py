"""Who does what: commands about nodes and jobs."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

from gogrid_desktop.cli.operator import AsJson, Data, ago, in_store, show
from gogrid_desktop.coordinator.desk import ledger_of
from gogrid_desktop.coordinator.store.port import Tx
from gogrid_desktop.coordinator.store.records import AccountRecord, JobRecord, NodeRecord
from gogrid_desktop.errors import BadInput
from gogrid_desktop.protocol.grid import ShareWith


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

    found, names = in_store(data, work)
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
            "last seen": ago(node.last_seen),
            "serves": _serves(node, names.get(node.account)),
            "leases": leases,
            "removed": "" if node.expires_at is None else "yes",
        }
        for node, leases in found
    ]
    show(as_json, {"nodes": listed}, "nodes", rows)


def _serves(node: NodeRecord, account: str | None) -> str:
    """Whose jobs a node takes, its own account's first."""
    others = {ShareWith.EVERYONE: ("everyone",), ShareWith.GROUPS: node.groups, ShareWith.OWN: ()}[node.share_with]
    return ", ".join([account, *others] if account else others) or "nobody"


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

    counts, listed = in_store(data, work)
    columns = ("id", "state", "tokens", "bytes", "leases", "attempts", "node", "error")
    rows = [{name: job[name] for name in columns} for job in listed]
    show(as_json, {"counts": counts, "jobs": listed}, "jobs", rows)
    if as_json:
        return
    typer.echo(", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "Nothing was asked yet.")
    if ledger:
        entries = [{"job": job["id"], **entry} for job in listed for entry in job["ledger"]]
        show(False, None, "ledger", entries)


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
