"""What the audit counts as lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.core.audit import Answer, Audit, Made, Taken, audit


def whole(pieces: list[int], fence: int = 1, job: str = "j") -> tuple[list[Made], list[Taken], Answer]:
    """An undisturbed job made in pieces of so many tokens, three bytes each."""
    starts = [sum(pieces[:index]) for index in range(len(pieces))]
    made = [Made(job, fence, start, count) for start, count in zip(starts, pieces, strict=True)]
    taken = [Taken(job, fence, one.start, one.count, one.start * 3, one.count * 3) for one in made]
    total = sum(pieces)
    return made, taken, Answer(job, total, total * 3, total * 3)


def test_an_undisturbed_job_loses_nothing() -> None:
    made, taken, answer = whole([1, 5, 2])
    assert audit(made, taken, [answer]) == Audit(tokens_checked=8)


def test_one_dropped_chunk_of_one_token_is_one_lost_token() -> None:
    made, taken, answer = whole([4, 1, 3])
    assert audit(made, [taken[0], taken[2]], [answer]).tokens_lost == 1


def test_a_chunk_dropped_at_the_end_is_seen_by_the_total() -> None:
    made, taken, answer = whole([4, 1])
    assert audit(made, taken[:1], [answer]).tokens_lost == 1


def test_a_doubled_position_is_lost() -> None:
    made, taken, answer = whole([4, 1])
    assert audit(made, [*taken, taken[1]], [answer]).doubled == 1


def test_a_position_that_no_worker_made_is_lost() -> None:
    made, taken, answer = whole([4, 2])
    assert audit(made[:1], taken, [answer]).unmade == 2


def test_a_position_made_under_another_fence_does_not_count() -> None:
    _, taken, answer = whole([4])
    assert audit([Made("j", 2, 0, 4)], taken, [answer]).tokens_lost == 4


def test_two_lives_may_make_the_same_position_once_it_was_never_taken_from_the_first() -> None:
    made = [Made("j", 1, 0, 6), Made("j", 2, 4, 6)]
    taken = [Taken("j", 1, 0, 4, 0, 12), Taken("j", 2, 4, 6, 12, 18)]
    assert audit(made, taken, [Answer("j", 10, 30, 30)]).tokens_lost == 0


@pytest.mark.parametrize("received", [29, 31, 0])
def test_a_client_with_other_bytes_has_lost_at_least_one(received: int) -> None:
    made, taken, _ = whole([10])
    found = audit(made, taken, [Answer("j", 10, 30, received)])
    assert found.tokens_lost == 1
    assert found.bytes_off == abs(30 - received)
    assert found.findings


def test_a_job_that_only_the_ledger_knows_is_held_to_account() -> None:
    made, taken, _ = whole([3])
    assert audit(made, taken, []).doubled == 3


def test_text_without_a_token_is_no_loss() -> None:
    taken = [Taken("j", 1, 0, 2, 0, 3), Taken("j", 1, 2, 0, 3, 4)]
    assert audit([Made("j", 1, 0, 2)], taken, [Answer("j", 2, 7, 7)]) == Audit(tokens_checked=2)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.data())
def test_dropping_any_chunk_counts_its_tokens(pieces: list[int], data: st.DataObject) -> None:
    made, taken, answer = whole(pieces)
    dropped = data.draw(st.integers(0, len(pieces) - 1))
    left = [one for index, one in enumerate(taken) if index != dropped]
    assert audit(made, left, [answer]).missing == pieces[dropped]
    assert audit(made, left, [answer]).tokens_lost == pieces[dropped]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_the_lines_does_not_matter(pieces: list[int], random: object) -> None:
    made, taken, answer = whole(pieces)
    random.shuffle(made)  # type: ignore[attr-defined]
    random.shuffle(taken)  # type: ignore[attr-defined]
    assert audit(made, taken, [answer]).tokens_lost == 0
