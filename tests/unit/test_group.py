"""Works that are kept together, each as if it were alone."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import pytest

from gogrid_desktop.coordinator.store import group
from gogrid_desktop.coordinator.store.memory import MemoryTx
from gogrid_desktop.coordinator.store.port import Ahead, R, Tx
from gogrid_desktop.coordinator.store.records import InviteRecord, Record

ONE = InviteRecord("one", "h1", 1, 0.0, 9.0)
TWO = InviteRecord("two", "h2", 1, 0.0, 9.0)


class Counting(MemoryTx):
    """Counts what reaches the database."""

    def __init__(self, *records: Record) -> None:
        super().__init__({})
        super().put(*records)
        self.finds = self.puts = 0

    def find(self, kind: type[R], **equal: str | Collection[str]) -> list[R]:
        self.finds += 1
        return super().find(kind, **equal)

    def put(self, *records: Record) -> None:
        self.puts += 1
        super().put(*records)


def use(id: str) -> Callable[[Tx], int]:
    """Use an invite once more; how often it can be used still."""

    def work(tx: Tx) -> int:
        found = tx.one(InviteRecord, id=id)
        assert found is not None
        tx.put(replace(found, uses_left=found.uses_left - 1))
        again = tx.one(InviteRecord, id=id)
        assert again is not None
        return again.uses_left

    return work


def results(outcomes: list[group.Outcome]) -> list[Any]:
    return [outcome.error or outcome.result for outcome in outcomes]


def test_a_work_sees_what_those_before_it_put_and_all_is_read_and_written_once() -> None:
    tx = Counting(ONE, TWO)
    ahead = [Ahead(InviteRecord, "id", ["one"])], [Ahead(InviteRecord, "id", ["two", "none"])]
    done = group.run(tx, [(use("one"), ahead[0]), (use("two"), ahead[1]), (use("one"), ())])
    assert results(done) == [0, 0, -1]
    assert (tx.finds, tx.puts) == (1, 1)
    assert {one.id: one.uses_left for one in tx.find(InviteRecord)} == {"one": -1, "two": 0}


def test_a_work_that_raises_leaves_nothing_and_hurts_nobody() -> None:
    tx = Counting(ONE)

    def fail(inside: Tx) -> None:
        use("one")(inside)
        raise ValueError

    first, second, third = group.run(tx, [(use("one"), ()), (fail, ()), (use("one"), ())])
    assert (first.result, type(second.error), third.result) == (0, ValueError, -1)


def test_a_work_that_raises_after_some_of_it_was_written_spoils_the_group() -> None:
    def fail(inside: Tx) -> None:
        use("one")(inside)
        inside.newest(1)
        raise ValueError

    with pytest.raises(group.Spoilt):
        group.run(Counting(ONE), [(use("one"), ()), (fail, ())])
    with pytest.raises(ValueError):
        group.run(Counting(ONE), [(fail, ())])


def test_what_was_put_is_found_by_any_field_and_no_longer_by_its_old_one() -> None:
    def work(inside: Tx) -> list[list[str]]:
        moved = replace(ONE, hash="h2")
        inside.put(moved, replace(TWO, id="new"))
        found = [inside.find(InviteRecord, hash="h1"), inside.find(InviteRecord, hash=["h2"])]
        inside.newest(1)  # writes what was put
        found += [inside.find(InviteRecord, hash="h1"), inside.find(InviteRecord), inside.find(InviteRecord, id=[])]
        return [sorted(one.id for one in some) for some in found]

    (done,) = group.run(Counting(ONE, TWO), [(work, [Ahead(InviteRecord, "hash", ["h1", "h2"])])])
    assert done.result == [[], ["new", "one", "two"], [], ["new", "one", "two"], []]


def test_two_fields_at_once() -> None:
    def work(inside: Tx) -> int:
        assert inside.one(InviteRecord, id="one", hash="h2") is None
        assert inside.one(InviteRecord, id="one", hash="h1") == ONE
        return len(inside.find(InviteRecord, hash=["h1", "h2"], id=["one", "two", "three"]))

    assert results(group.run(Counting(ONE, TWO), [(work, ())])) == [2]
