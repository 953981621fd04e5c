"""Invites, node tokens and API keys: made here, shown once, kept as hashes.

A token is 32 random bytes, so a plain SHA-256 of it cannot be guessed back and can be looked up by an index.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace

from gogrid_desktop.coordinator.ports import Account
from gogrid_desktop.coordinator.store.port import Tx
from gogrid_desktop.coordinator.store.records import AccountRecord, ApiKeyRecord, InviteRecord, NodeRecord
from gogrid_desktop.core.sharing import group_names
from gogrid_desktop.errors import AuthRejected, BadInput, InviteRejected, Refused
from gogrid_desktop.protocol.grid import PROTOCOL_VERSION, Enrolled, Invite, LeaseCall, Priority

INVITE, NODE, KEY = "ggi", "ggn", "ggk"
_ASK = "Ask the operator of the grid for a new one."


def make_token(kind: str) -> str:
    return f"{kind}_{secrets.token_urlsafe(32)}"


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def new_id(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(8)}"


def make_invite(tx: Tx, uses: int, expires_s: float, now: float, account: str | None = None) -> str:
    """An invite code for so many nodes, which become the own ones of the account of that name. Raises BadInput."""
    if not 1 <= uses <= 100_000:
        raise BadInput("uses", uses, "from 1 to 100000")
    if not 0 < expires_s <= 366 * 86_400:
        raise BadInput("expires", f"{expires_s / 3600:g} h", "more than 0 h, at most 366 days")
    owner = None if account is None else named_account(tx, "account", account).id
    code = make_token(INVITE)
    tx.put(InviteRecord(new_id("invite"), hashed(code), uses, now, now + expires_s, owner))
    return code


def enrol(tx: Tx, invite: Invite, now: float) -> Enrolled:
    """A new node for an invite. Raises InviteRejected, and Refused for another version of the protocol."""
    if invite.protocol != PROTOCOL_VERSION:
        raise Refused(
            f"This coordinator speaks version {PROTOCOL_VERSION} of the grid protocol, the node {invite.protocol}.",
            409,
            "Update GoGrid on this machine or the coordinator.",
        )
    found = tx.one(InviteRecord, hash=hashed(invite.invite))
    if found is None:
        raise InviteRejected("This invite code is wrong.", "Copy it again, whole; it begins with ggi_.")
    if found.expires_at <= now:
        raise InviteRejected("This invite code has expired.", _ASK)
    if found.uses_left < 1:
        raise InviteRejected("This invite code has been used up.", _ASK)
    token, node = make_token(NODE), new_id("node")
    tx.put(
        replace(found, uses_left=found.uses_left - 1),
        NodeRecord(
            *(node, hashed(token), invite.name, invite.platform, invite.version, now, now, None, (), (), 0),
            account=found.account,
        ),
    )
    return Enrolled(node_id=node, node_token=token)


def node_of(tx: Tx, token_hash: str, now: float) -> NodeRecord:
    """The node that a token of this hash belongs to. Raises AuthRejected."""
    found = tx.one(NodeRecord, token_hash=token_hash)
    if found is None or (found.expires_at is not None and found.expires_at <= now):
        raise AuthRejected("This node's token is wrong or has expired.", "Join the grid again with an invite code.")
    return found


def make_key(tx: Tx, name: str, max_priority: Priority, expires_s: float | None, now: float) -> tuple[str, str]:
    """An API key for the account of that name, made at need. Returns the key's id and the key. Raises BadInput."""
    if not 1 <= len(name) <= 64:
        raise BadInput("name", name, "1 to 64 characters")
    if expires_s is not None and expires_s <= 0:
        raise BadInput("expires", f"{expires_s / 3600:g} h", "more than 0 h")
    account = tx.one(AccountRecord, name=name)
    account = AccountRecord(new_id("acc"), name, max_priority, 0.0, now) if account is None else account
    key, key_id = make_token(KEY), new_id("key")
    expires_at = None if expires_s is None else now + expires_s
    tx.put(
        replace(account, max_priority=max_priority),
        ApiKeyRecord(key_id, account.id, hashed(key), now, expires_at, None),
    )
    return key_id, key


def named_account(tx: Tx, field: str, name: str) -> AccountRecord:
    """The account of that name. Raises BadInput, for `field`."""
    found = tx.one(AccountRecord, name=name)
    if found is None:
        remedy = f"`gogrid coordinator accounts` shows them; `gogrid coordinator key --name {name}` makes it."
        raise BadInput(field, name, "the name of an account", remedy)
    return found


def set_groups(tx: Tx, name: str, groups: str) -> AccountRecord:
    """Put an account into these groups (comma-separated) and no others. Raises BadInput."""
    account = named_account(tx, "name", name)
    try:
        names = group_names(part for part in groups.split(",") if part.strip())
    except ValueError as error:
        raise BadInput("groups", groups, str(error), "Use --groups '' for none.") from None
    changed = replace(account, groups=names)
    tx.put(changed)
    return changed


def revoke_key(tx: Tx, key_id: str, now: float) -> None:
    """Raises BadInput if there is no such key."""
    found = tx.one(ApiKeyRecord, id=key_id)
    if found is None:
        raise BadInput("revoke", key_id, "the id of a key", "`gogrid coordinator key --list` shows them.")
    tx.put(replace(found, revoked_at=found.revoked_at or now))


def account_of(tx: Tx, key_hash: str, now: float) -> Account | None:
    """The account of a key of this hash that holds now."""
    found = tx.one(ApiKeyRecord, hash=key_hash)
    if found is None or found.revoked_at is not None or (found.expires_at is not None and found.expires_at <= now):
        return None
    account = tx.one(AccountRecord, id=found.account)
    return None if account is None else Account(account.id, found.id, account.max_priority)


def offering(node: NodeRecord, call: LeaseCall, now: float) -> NodeRecord:
    """The node with what its lease call says it can serve."""
    offer = replace(
        node,
        models=tuple(sorted({*call.models_resident, *call.models_on_disk})),
        kinds=call.kinds,
        context=call.context,
        work=call.work,
        share_with=call.share_with,
        groups=call.groups,
    )
    return node if offer == node else replace(offer, offered_at=now)


def offer(tx: Tx, node: NodeRecord, call: LeaseCall, now: float) -> NodeRecord:
    """Keep what a node's lease call says it can serve. Raises AuthRejected for one that is no longer there."""
    found = node_of(tx, node.token_hash, now)
    changed = offering(found, call, now)
    tx.put(changed)
    return changed
