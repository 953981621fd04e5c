"""What a finished job leaves behind serves the next one, and never one of somebody else."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from fixtures_engine import Bench, FakeEngine, embedding, job
from hypothesis import given, settings
from hypothesis import strategies as st

from gogrid_desktop.protocol.grid import Priority
from gogrid_desktop.worker import messages as w
from gogrid_desktop.worker.cells import LEAST_SHARED
from gogrid_desktop.worker.engine import Decoded

SYSTEM = [1 + i % 9 for i in range(40)]


def roomy(**how: object) -> FakeEngine:
    return FakeEngine(sequences=8, end_weight=-100, **how)  # type: ignore[arg-type]


def prefilled(bench: Bench) -> int:
    """Rows that were computed so far."""
    return sum(bench.engine.rows)


def test_the_next_turn_of_a_chat_computes_only_what_is_new() -> None:
    bench = Bench(roomy())
    bench.submit(job("first", SYSTEM, max_tokens=5, salt="me"))
    bench.finish()
    before = prefilled(bench)
    turn = [*SYSTEM, *bench.told("first").tokens, 3, 4]
    bench.submit(job("second", turn, max_tokens=5, salt="me"))
    bench.finish()
    # New are the last token of the answer, which was drawn but never read, the two of the question, and four answers.
    assert prefilled(bench) - before == 3 + 4


def test_a_beginning_that_several_share_is_computed_once() -> None:
    bench = Bench(roomy())
    bench.submit(*(job(f"{i}", [*SYSTEM, i + 1, 5], max_tokens=1, salt="me") for i in range(4)))
    bench.finish()
    # Whoever waits does not wait for a rest that is not worth it.
    assert prefilled(bench) < 40 + 4 * 2 + 3 * LEAST_SHARED
    assert len(bench.engine.copies) == 3


@pytest.mark.parametrize(("mine", "other"), [("me", "you"), ("", ""), ("me", "")])
def test_nothing_is_shared_between_accounts(mine: str, other: str) -> None:
    bench = Bench(roomy())
    bench.submit(job("mine", SYSTEM, max_tokens=1, salt=mine))
    bench.finish()
    bench.submit(job("other", SYSTEM, max_tokens=1, salt=other))
    bench.finish()
    assert prefilled(bench) == 80


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.lists(st.integers(1, 9), min_size=1, max_size=30), st.sampled_from("ab")),
        min_size=1,
        max_size=12,
    ),
    st.integers(100, 400),
    st.lists(st.sampled_from([Decoded.DONE, Decoded.DONE, Decoded.ABORTED]), max_size=30),
    st.booleans(),
)
def test_sharing_changes_no_answer(
    jobs: list[tuple[int, list[int], str]], cells: int, outcomes: list[Decoded], cuts: bool
) -> None:
    bench = Bench(FakeEngine(sequences=8, total_context=cells, outcomes=outcomes, cuts=cuts, end_weight=-100))
    for i, (shared, own, salt) in enumerate(jobs):
        bench.submit(job(f"{i}", [*SYSTEM[:shared], *own], max_tokens=9, salt=salt, seed=i))
        bench.step(i % 4)
    bench.finish()
    for i, (shared, own, _) in enumerate(jobs):
        plain = Bench(FakeEngine(end_weight=-100))
        plain.submit(job("x", [*SYSTEM[:shared], *own], max_tokens=9, seed=i))
        plain.finish()
        assert bench.told(f"{i}").tokens == plain.told("x").tokens


def test_a_full_cache_gives_up_prefixes_before_it_holds_anybody_up() -> None:
    bench = Bench(roomy(total_context=100))
    bench.submit(job("old", SYSTEM, max_tokens=2, salt="a"))
    bench.finish()
    assert bench.engine.used == 41
    bench.submit(job("new", [2] * 70, max_tokens=20, salt="b"))
    bench.finish()
    assert bench.told("new").finished.tokens == 20
    assert not [f for f in bench.frames if isinstance(f, w.JobFailed)]


def test_a_full_cache_makes_the_job_wait_that_matters_least_and_it_loses_nothing() -> None:
    bench = Bench(roomy(total_context=260))
    bench.submit(job("bulk", SYSTEM, max_tokens=150, priority=Priority.BATCH, salt="a"))
    bench.submit(job("chat", [2] * 30, max_tokens=150, priority=Priority.HIGH))
    bench.finish()
    ended = [f.lease for f in bench.frames if isinstance(f, w.Finished)]
    assert ended == ["chat", "bulk"]
    plain = Bench(roomy())
    plain.submit(job("bulk", SYSTEM, max_tokens=150, salt="a"))
    plain.finish()
    assert bench.told("bulk").tokens == plain.told("bulk").tokens


def test_less_room_sends_the_last_ones_back_to_wait_and_keeps_no_prefix() -> None:
    bench = Bench(roomy())
    bench.submit(job("done", SYSTEM, max_tokens=1, salt="me"))
    bench.finish()
    bench.submit(*(job(f"{i}", [i + 1] * 20, max_tokens=30, salt="me") for i in range(3)))
    bench.step(3)
    bench.batcher.room(1, prefixes=False)
    bench.step(3)
    assert [len(spans) for spans in bench.engine.batches[-3:]] == [1, 1, 1]
    assert bench.engine.used < 40
    bench.finish()
    assert [bench.told(f"{i}").finished.tokens for i in range(3)] == [30] * 3
    assert bench.engine.used == 0


def test_without_any_slot_a_job_waits_and_nothing_turns() -> None:
    bench = Bench(roomy())
    bench.submit(job("x"))
    bench.batcher.room(0, prefixes=False)
    assert bench.batcher.wait_s(0) is None
    bench.step()
    assert bench.engine.batches == []
    bench.batcher.room(4, prefixes=True)
    bench.finish()
    assert bench.told("x").finished


def test_a_text_is_embedded_in_pieces_and_beside_jobs_that_generate() -> None:
    bench = Bench(roomy())
    bench.submit(job("chat", max_tokens=20), embedding("text", [3, 4] * 10))
    bench.finish()
    assert bench.told("chat").finished.tokens == 20
    assert vector(bench.told("text").text) == pytest.approx([70 / 72.8, 20 / 72.8], abs=1e-3)
    assert bench.told("text").finished.tokens == 0


@pytest.mark.parametrize("stopped_at", [0, 1, 2])
def test_an_embedding_that_is_stopped_and_resumed_is_the_same(stopped_at: int) -> None:
    plain = Bench(roomy())
    plain.submit(embedding("x", [3, 4] * 10))
    plain.finish()
    outcomes = [Decoded.DONE] * stopped_at + [Decoded.ABORTED]
    bench = Bench(roomy(outcomes=outcomes))
    bench.submit(embedding("x", [3, 4] * 10))
    bench.finish()
    assert bench.told("x").text == plain.told("x").text


def test_an_embedding_without_a_direction_fails_alone() -> None:
    bench = Bench(roomy())
    broken = embedding("x", [1])
    broken.add = lambda rows, row: type(broken).add(broken, rows, row * 0)  # type: ignore[method-assign]
    bench.submit(broken, job("good", max_tokens=3))
    bench.finish()
    assert [f.lease for f in bench.frames if isinstance(f, w.JobFailed)] == ["x"]
    assert bench.told("good").finished.tokens == 3


@settings(max_examples=60)
@given(st.integers(1, 100), st.integers(1, 30), st.data())
def test_a_deterministic_job_has_the_same_steps_wherever_it_goes_on(
    length: int, answer: int, data: st.DataObject
) -> None:
    prompt = [1 + i % 9 for i in range(length)]

    def steps(token_ids: tuple[int, ...] = ()) -> tuple[list[tuple[int, int]], tuple[int, ...]]:
        bench = Bench(FakeEngine(end_weight=-100), deterministic=True)
        bench.submit(job("x", prompt, max_tokens=answer, token_ids=token_ids), job("y", [5] * 50, max_tokens=3))
        while "x" in bench.batcher:
            bench.step()
        mine = [(s.position, len(s.tokens)) for spans in bench.engine.batches for s in spans]
        return mine, bench.told("x").tokens

    whole, tokens = steps()
    moved = data.draw(st.integers(0, max(0, len(tokens) - 1)), label="moved after so many tokens")
    again, rest = steps(tokens[:moved])
    assert tokens[:moved] + rest == tokens
    assert again == whole
    assert all(end <= length or rows == 1 for position, rows in whole for end in [position + rows])


def vector(text: str) -> list[float]:
    return list(map(float, np.frombuffer(base64.b64decode(text), dtype="<f4")))
