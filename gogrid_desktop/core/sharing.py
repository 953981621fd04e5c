"""Whose work a node takes, and which: said by the person who lends, sent with each lease call, kept by the coordinator.

What a node says here can only make less of what it is given: nobody is asked whether it is in a group, because a node
that names a group gets jobs of that group's accounts alone, and all of these it would get by sharing with everyone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

MAX_GROUPS = 64
GROUP_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
GROUP_NAMES = f"at most {MAX_GROUPS} names, such as family,lab-2: letters, digits and . _ - inside, 64 at most"


class Work(StrEnum):
    """What a person limits. `BATCH`: work of batch priority, for which nobody waits; `CHAT`: all other texts."""

    CHAT = "chat"
    BATCH = "batch"
    EMBEDDING = "embedding"


class ShareWith(StrEnum):
    """Whose jobs a node takes. `GROUPS`: those of its own account too."""

    EVERYONE = "everyone"
    GROUPS = "groups"
    OWN = "own"


def group_names(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once, in small letters, in order. Raises ValueError with what is allowed."""
    found = tuple(dict.fromkeys(name.strip().lower() for name in names))
    if len(found) > MAX_GROUPS or not all(re.fullmatch(GROUP_PATTERN, name) for name in found):
        raise ValueError(GROUP_NAMES)
    return found


def accounts_served(
    share_with: ShareWith, account: str | None, groups: Iterable[str], groups_of: Mapping[str, Iterable[str]]
) -> frozenset[str] | None:
    """The accounts whose jobs a node takes; None: everyone's. `account`: the node's own; `groups_of`: by account."""
    if share_with is ShareWith.EVERYONE:
        return None
    own = frozenset() if account is None else frozenset({account})
    if share_with is ShareWith.OWN:
        return own
    wanted = frozenset(groups)
    return own | {one for one, its in groups_of.items() if not wanted.isdisjoint(its)}
