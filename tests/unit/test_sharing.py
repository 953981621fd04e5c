"""Whose jobs a node takes, and what a group may be called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.core.sharing import GROUP_NAMES, ShareWith, accounts_served, group_names
from gogrid_desktop.protocol.grid import JobKind, Priority, Work, work_of

GROUPS_OF = {"me": ("home",), "sister": ("home", "lab"), "boss": ("lab",), "stranger": ()}


@pytest.mark.parametrize(
    ("share_with", "account", "groups", "served"),
    [
        (ShareWith.EVERYONE, "me", ("home",), None),
        (ShareWith.EVERYONE, None, (), None),
        (ShareWith.OWN, "me", ("home",), {"me"}),
        (ShareWith.OWN, None, ("home",), set()),
        (ShareWith.GROUPS, "me", ("lab",), {"me", "sister", "boss"}),
        (ShareWith.GROUPS, None, ("lab",), {"sister", "boss"}),
        (ShareWith.GROUPS, "stranger", ("home",), {"me", "sister", "stranger"}),
        (ShareWith.GROUPS, "me", (), {"me"}),
        (ShareWith.GROUPS, None, ("nobody",), set()),
    ],
)
def test_a_node_serves_its_own_account_and_whom_it_shares_with(
    share_with: ShareWith, account: str | None, groups: tuple[str, ...], served: set[str] | None
) -> None:
    assert accounts_served(share_with, account, groups, GROUPS_OF) == served


@given(st.sets(st.sampled_from(["home", "lab", "nobody"])), st.sampled_from([*GROUPS_OF, None]))
def test_naming_more_groups_never_takes_an_account_away_nor_makes_one_up(groups: set[str], account: str | None) -> None:
    served = accounts_served(ShareWith.GROUPS, account, groups, GROUPS_OF)
    assert served is not None
    assert served <= set(GROUPS_OF)
    assert account is None or account in served


def test_names_of_groups_are_small_letters_and_each_counts_once() -> None:
    assert group_names(["Lab", " family ", "lab", "a.b-c_1"]) == ("lab", "family", "a.b-c_1")


@pytest.mark.parametrize("names", [["a b"], [""], ["-a"], ["büro"], ["x" * 65], ["a\nb"], [f"g{n}" for n in range(65)]])
def test_names_that_cannot_be_are_refused_in_words(names: list[str]) -> None:
    with pytest.raises(ValueError, match="at most 64 names") as caught:
        group_names(names)
    assert str(caught.value) == GROUP_NAMES


@pytest.mark.parametrize(
    ("kind", "priority", "work"),
    [
        (JobKind.CHAT, Priority.NORMAL, Work.CHAT),
        (JobKind.COMPLETION, Priority.LOW, Work.CHAT),
        (JobKind.CHAT, Priority.BATCH, Work.BATCH),
        (JobKind.COMPLETION, Priority.BATCH, Work.BATCH),
        (JobKind.EMBEDDING, Priority.NORMAL, Work.EMBEDDING),
        (JobKind.EMBEDDING, Priority.BATCH, Work.EMBEDDING),
    ],
)
def test_a_job_counts_under_one_kind_of_work(kind: JobKind, priority: Priority, work: Work) -> None:
    assert work_of(kind, priority) is work
