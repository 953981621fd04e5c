"""Joining a grid: an invite becomes a node id in the settings and a token in the keyring."""

from __future__ import annotations

import asyncio
import platform
import socket
from dataclasses import dataclass

from gogrid_desktop import __version__
from gogrid_desktop.client.grid import GridClient
from gogrid_desktop.errors import BadInput
from gogrid_desktop.protocol.grid import Invite
from gogrid_desktop.system.secrets import SecretStore

LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Membership:
    """Where this node belongs. The token is not part of it: it lives in the secret store under `secret_name`."""

    coordinator: str
    node_id: str
    node_name: str

    @property
    def secret_name(self) -> str:
        return f"node-token {self.coordinator} {self.node_id}"

    def settings(self, *, allow_plaintext: bool) -> dict[str, object]:
        """The settings that say where this node belongs, and that its token may lie in a file if that was allowed."""
        allowed: dict[str, object] = {"secrets.allow_plaintext": True} if allow_plaintext else {}
        return allowed | {
            "grid.coordinator": self.coordinator,
            "grid.node_id": self.node_id,
            "grid.node_name": self.node_name,
        }


def node_name() -> str:
    """This machine's name, as the operator will see it."""
    return (socket.gethostname() or "node")[:LONGEST_NAME]


async def join(coordinator: str, invite: str, name: str, secrets: SecretStore) -> Membership:
    """Enrol with an invite code and keep the token. Raises BadInput, InviteRejected, Unreachable, SecretStoreError.

    The secret store is tried first: an invite must not be used up for a token that nobody can keep.
    """
    if not invite.strip():
        raise BadInput("invite", invite, "a code that begins with ggi_", "Ask the operator for one.")
    client = GridClient(coordinator)
    try:
        await asyncio.to_thread(_can_keep, secrets)
        enrolled = await client.enrol(
            Invite(invite=invite.strip(), name=name, platform=platform.system().lower(), version=__version__)
        )
    finally:
        await client.close()
    membership = Membership(client.coordinator, enrolled.node_id, name)
    await asyncio.to_thread(secrets.set, membership.secret_name, enrolled.node_token)
    return membership


def _can_keep(secrets: SecretStore) -> None:
    probe = "probe"
    secrets.set(probe, "works")
    secrets.delete(probe)
