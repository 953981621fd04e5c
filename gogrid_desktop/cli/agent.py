"""`gogrid agent run`, `gogrid join`: the headless agent and its place in a grid."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from gogrid_desktop.cli import lasting
from gogrid_desktop.errors import AgentUnavailable
from gogrid_desktop.ipc import client
from gogrid_desktop.ipc import messages as m
from gogrid_desktop.paths import app_paths

app = typer.Typer(help="The agent: shares this computer while it runs.", no_args_is_help=True)

PlaintextOption = Annotated[
    bool,
    typer.Option("--allow-plaintext-token", help="Keep the node's token in a file (0600) where no keyring answers."),
]


@app.command()
def run(allow_plaintext_token: PlaintextOption = False, log_level: str = "") -> None:
    """Share this computer until stopped with Ctrl-C, SIGTERM or `gogrid stop`."""
    raise typer.Exit(lasting.agent(allow_plaintext=allow_plaintext_token, log_level=log_level))


def join(
    coordinator: Annotated[str, typer.Argument(help="Address of the coordinator, https://...")],
    invite: Annotated[str, typer.Argument(help="Invite code, ggi_...")],
    allow_plaintext_token: PlaintextOption = False,
) -> None:
    """Join a grid with an invite code."""
    console = Console(highlight=False)
    with console.status(f"Joining {coordinator} ..."):
        try:
            command = m.Join(id=1, coordinator=coordinator, invite=invite, allow_plaintext=allow_plaintext_token)
            client.call(app_paths().endpoint_file, command, timeout_s=30.0)
            how = "The running agent shares with it from now on."
        except AgentUnavailable:
            _join_directly(coordinator, invite, allow_plaintext=allow_plaintext_token)
            how = "Start sharing with: gogrid agent run"
    console.print(f"Joined {coordinator}. {how}")


def _join_directly(coordinator: str, invite: str, *, allow_plaintext: bool) -> None:
    from gogrid_desktop.agent.membership import join, node_name
    from gogrid_desktop.agent.parts import system_parts

    parts = system_parts(app_paths())
    settings = parts.store.settings
    secrets = parts.secrets(allow_plaintext or settings.secrets.allow_plaintext)
    membership = asyncio.run(join(coordinator, invite, settings.grid.node_name or node_name(), secrets))
    parts.store.change(membership.settings(allow_plaintext=allow_plaintext))
