"""Many jobs in one model: none changes another, none waits without need, and a broken one fails alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fixtures_engine import OPEN_LIMITS, Bench, FakeEngine, job
from hypothesis import given, settings
from hypothesis import strategies as st

from gogrid_desktop.core.profiles import NOTHING
from gogrid_desktop.protocol.grid import FinishReason, Have, Priority
from gogrid_desktop.worker import messages as w
from gogrid_desktop.worker.cost import FIRST_ROWS
from gogrid_desktop.worker.engine import Decoded

PROMPTS = st.lists(st.integers(1, 11), min_size=1, max_size=60)


def alone(prompt: list[int], end_weight: float = -1.0, **how: object) -> tuple[tuple[int, ...], str]:
    bench = Bench(FakeEngine(end_weight=end_weight))
    bench.submit(job("x", prompt, **how))
    bench.finish()
    return bench.told("x").tokens, bench.told("x").text


@settings(max_examples=50)
@given(st.lists(PROMPTS, min_size=1, max_size=8), st.integers(1, 4))
def test_what_runs_beside_a_job_changes_nothing_of_it(prompts: list[list[int]], batch: int) -> None:
    bench = Bench(limits=replace(OPEN_LIMITS, batch=batch))
    for i, prompt in enumerate(prompts):
        bench.submit(job(f"{i}", prompt, seed=i))
    bench.finish()
    for i, prompt in enumerate(prompts):
        told = bench.told(f"{i}")
        assert (told.tokens, told.text) == alone(prompt, seed=i)
        told.check_counters(Have())


@settings(max_examples=50)
@given(
    st.lists(PROMPTS, min_size=1, max_size=4), st.lists(st.sampled_from([Decoded.DONE, Decoded.ABORTED]), max_size=40)
)
def test_steps_that_are_stopped_change_no_token(prompts: list[list[int]], outcomes: list[Decoded]) -> None:
    bench = Bench(FakeEngine(outcomes=outcomes))
    for i, prompt in enumerate(prompts):
        bench.submit(job(f"{i}", prompt))
    bench.finish()
    assert [bench.told(f"{i}").tokens for i in range(len(prompts))] == [alone(prompt)[0] for prompt in prompts]


@settings(max_examples=150)
@given(PROMPTS, st.integers(0, 2**32), st.lists(st.sampled_from(["END", "a", "éb", "🙂"]), max_size=2), st.data())
def test_a_job_that_moves_between_workers_gives_the_same_answer(
    prompt: list[int], seed: int, stop: list[str], data: st.DataObject
) -> None:
    how = {"seed": seed, "stop": stop, "max_tokens": 30}
    tokens, text = alone(prompt, **how)
    have_tokens: tuple[int, ...] = ()
    have_text = ""
    for _ in range(data.draw(st.integers(1, 3), label="moves")):
        bench = Bench()
        bench.submit(job("x", prompt, token_ids=have_tokens, have_bytes=len(have_text.encode()), **how))
        bench.step(data.draw(st.integers(0, 30), label="steps"))
        told = bench.told("x")
        told.check_counters(Have(tokens=len(have_tokens), bytes=len(have_text.encode())))
        # Of what a worker said, ids and text may be kept to different points.
        have_tokens += told.tokens
        kept = data.draw(st.integers(0, len(told.text)), label="kept")
        have_text += told.text[:kept]
        assert tokens[: len(have_tokens)] == have_tokens
    bench = Bench()
    have = Have(tokens=len(have_tokens), bytes=len(have_text.encode()))
    bench.submit(job("x", prompt, token_ids=have_tokens, have_bytes=have.bytes, **how))
    bench.finish()
    told = bench.told("x")
    told.check_counters(have)
    assert have_tokens + told.tokens == tokens
    assert have_text + told.text == text
    assert (told.finished.tokens, told.finished.bytes) == (len(tokens), len(text.encode()))


def test_a_resumed_job_that_has_all_its_tokens_ends_without_a_step() -> None:
    bench = Bench()
    bench.submit(job("x", token_ids=(1, 2), max_tokens=2, have_bytes=1))
    assert bench.told("x").text == "b"
    assert bench.told("x").finished == w.Finished(lease="x", tokens=2, bytes=2, finish_reason=FinishReason.LENGTH)
    assert bench.engine.batches == []


def test_a_resumed_job_that_has_its_stop_string_ends_without_a_step() -> None:
    bench = Bench()
    bench.submit(job("x", token_ids=(1, 11), stop=("END",)))
    assert bench.told("x").text == "a"
    assert bench.told("x").finished.finish_reason is FinishReason.STOP
    assert bench.engine.batches == []


def test_the_token_that_ends_the_generation_is_not_reported() -> None:
    bench = Bench(FakeEngine(end_weight=100))
    bench.submit(job("x"))
    bench.finish()
    assert bench.told("x").finished == w.Finished(lease="x", tokens=0, bytes=0, finish_reason=FinishReason.STOP)


def test_max_tokens_ends_a_job_with_length() -> None:
    bench = Bench(FakeEngine(end_weight=-100))
    bench.submit(job("x", max_tokens=7))
    bench.finish()
    assert (bench.told("x").finished.tokens, bench.told("x").finished.finish_reason) == (7, FinishReason.LENGTH)


def test_jobs_that_generate_are_decoded_together_in_one_step() -> None:
    bench = Bench(FakeEngine(end_weight=-100))
    for i in range(4):
        bench.submit(job(f"{i}"))
    bench.step(3)
    assert bench.engine.rows == [12, 4, 4]


def test_a_long_prompt_is_read_in_pieces_beside_jobs_that_generate() -> None:
    bench = Bench(FakeEngine(end_weight=-100, row_s=0.02))
    bench.submit(job("short", max_tokens=500))
    bench.step(5)
    bench.submit(job("long", [1] * 50))
    bench.step(55)
    rows = bench.engine.rows[5:40]  # 0.02 s for a token: 1.9 times as much has room for less than a row
    assert set(rows) == {1, 2} and rows.count(1) == 1
    assert len(bench.told("short").tokens) == 60
    assert bench.told("long").tokens


def test_a_step_that_nobody_would_feel_is_used_for_prompts() -> None:
    bench = Bench(FakeEngine(end_weight=-100, row_s=0.001))
    bench.submit(job("short", max_tokens=500))
    bench.step(5)
    bench.submit(job("long", [1] * 200))
    bench.step(3)
    assert all(25 <= rows <= 33 for rows in bench.engine.rows[5:])


def test_prompts_that_came_together_are_read_in_large_pieces_while_the_first_ones_generate_slowly() -> None:
    bench = Bench(FakeEngine(slots=8, total_context=5000, most_rows=512, end_weight=-100, row_s=0.0025))
    bench.submit(*(job(f"{i}", [1 + i] * 390, max_tokens=40) for i in range(6)))
    while len(bench.told("5").tokens) == 0:
        bench.step()
    assert sum(rows > 300 for rows in bench.engine.rows) >= 4
    assert 2 <= len(bench.told("0").tokens) < 20
    steps = len(bench.engine.rows)
    bench.submit(job("late", [9] * 390))
    bench.step(3)
    assert max(bench.engine.rows[steps:]) < 20  # now somebody waits for six answers


def test_a_step_reads_a_whole_piece_of_one_prompt_beside_the_end_of_the_one_before() -> None:
    bench = Bench(FakeEngine(slots=4, total_context=4000, most_rows=576, end_weight=-100))
    bench.submit(*(job(f"{i}", [1 + i] * 520, max_tokens=40) for i in range(3)))
    bench.step(6)
    read = [[len(span.tokens) for span in spans] for spans in bench.engine.batches]
    assert read == [[FIRST_ROWS], [512 - FIRST_ROWS], [8, 512], [1, 8, 512], [1, 1, 8], [1, 1, 1]]


def test_whoever_matters_more_does_not_wait_for_the_prompts_of_others() -> None:
    bench = Bench(FakeEngine(slots=8, total_context=5000, most_rows=512, end_weight=-100, row_s=0.0025))
    bench.submit(job("urgent", [2] * 40, priority=Priority.HIGH, max_tokens=30))
    bench.submit(*(job(f"{i}", [1 + i] * 390) for i in range(3)))
    bench.step(12)
    assert max(bench.engine.rows[4:]) < 30


def test_a_step_on_a_gpu_is_never_longer_than_it_may_be() -> None:
    bench = Bench(FakeEngine(slots=16, end_weight=-100, row_s=0.004, longest_step_s=0.05))
    bench.submit(*(job(f"{i}", [1] * 150, max_tokens=200) for i in range(4)))
    bench.finish()
    assert max(bench.engine.rows[3:]) * 0.004 <= 0.05 + 1e-9


def test_a_long_prompt_alone_is_read_in_larger_pieces() -> None:
    bench = Bench()
    bench.submit(job("long", [1] * 200))
    bench.step(5)
    assert bench.engine.rows == [FIRST_ROWS, 64, 64, 40, 1]
    told = [frame.tokens for frame in bench.frames if isinstance(frame, w.Prefilled)]
    assert told == [32, 96, 160, 200]


def test_a_step_that_was_stopped_is_tried_again_in_smaller_pieces() -> None:
    bench = Bench(FakeEngine(outcomes=[Decoded.DONE, Decoded.ABORTED, Decoded.ABORTED, Decoded.DONE, Decoded.DONE]))
    bench.submit(job("long", [1] * 300))
    bench.step(6)
    assert bench.engine.rows == [32, 64, 32, 16, 32, 64]


def test_no_more_jobs_than_slots_run_and_the_next_follows_the_first_that_ends() -> None:
    bench = Bench(FakeEngine(slots=2, end_weight=-100))
    for i in range(3):
        bench.submit(job(f"{i}", max_tokens=2 + i))
    bench.step(2)
    assert bench.told("2").frames == []
    bench.step()
    assert bench.told("2").tokens != ()


def test_jobs_start_by_priority_then_arrival() -> None:
    bench = Bench(FakeEngine(slots=1))
    order = [Priority.BATCH, Priority.NORMAL, Priority.CRITICAL, Priority.NORMAL]
    for i, priority in enumerate(order):
        bench.submit(job(f"{i}", priority=priority))
    bench.finish()
    assert [frame.lease for frame in bench.frames if isinstance(frame, w.Finished)] == ["2", "1", "3", "0"]


def test_of_one_priority_the_nearest_deadline_starts_first() -> None:
    bench = Bench(FakeEngine(slots=1))
    bench.submit(*(job(f"{i}", deadline=deadline) for i, deadline in enumerate([30.0, 10.0, 20.0])))
    bench.finish()
    assert [frame.lease for frame in bench.frames if isinstance(frame, w.Finished)] == ["1", "2", "0"]


def test_a_job_that_matters_more_takes_the_place_of_one_that_matters_less_which_loses_nothing() -> None:
    bench = Bench(FakeEngine(slots=1, end_weight=-100))
    bench.submit(job("bulk", priority=Priority.BATCH))
    bench.step(5)
    bench.submit(job("urgent", priority=Priority.HIGH))
    bench.finish()
    assert [frame.lease for frame in bench.frames if isinstance(frame, w.Finished)] == ["urgent", "bulk"]
    assert bench.told("bulk").tokens == alone([1, 2, 3], end_weight=-100)[0]


def test_jobs_of_one_priority_never_push_each_other_out() -> None:
    bench = Bench(FakeEngine(slots=1, end_weight=-100))
    bench.submit(job("first", deadline=100))
    bench.step(5)
    bench.submit(job("second", deadline=1))
    bench.finish()
    assert [frame.lease for frame in bench.frames if isinstance(frame, w.Finished)] == ["first", "second"]


def test_a_smaller_batch_holds_the_youngest_and_loses_nothing() -> None:
    bench = Bench(FakeEngine(end_weight=-100))
    for i in range(2):
        bench.submit(job(f"{i}"))
    bench.step(2)
    bench.pace.limits = replace(OPEN_LIMITS, batch=1)
    bench.step(5)
    assert [len(bench.told(f"{i}").tokens) for i in range(2)] == [7, 2]
    bench.finish()
    assert len(bench.told("1").tokens) == 20


def test_a_job_that_the_model_cannot_decode_fails_alone() -> None:
    bench = Bench(FakeEngine(poison=9))
    bench.submit(job("good", [1, 2, 3]))
    bench.submit(job("bad", [4, 9, 5]))
    bench.submit(job("fine", [6, 7, 8]))
    bench.engine.end_weight = -100
    bench.step()
    (failed,) = [frame for frame in bench.frames if isinstance(frame, w.JobFailed)]
    assert failed.lease == "bad"
    assert "bad" not in bench.batcher
    assert bench.told("good").tokens and bench.told("fine").tokens


def test_logits_that_are_no_numbers_fail_their_job_alone() -> None:
    bench = Bench(FakeEngine(broken=9))
    bench.submit(job("good", [1, 2, 3], max_tokens=1))
    bench.submit(job("bad", [4, 5, 9]))
    bench.step()
    assert [frame.lease for frame in bench.frames if isinstance(frame, w.JobFailed)] == ["bad"]
    assert bench.told("good").finished.tokens == 1


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_a_cancelled_job_says_nothing_more_and_its_room_is_free(steps: int) -> None:
    bench = Bench(FakeEngine(slots=1, end_weight=-100))
    bench.submit(job("x", max_tokens=500))
    bench.step(steps)
    said = len(bench.frames)
    bench.batcher.cancel("x")
    bench.submit(job("next", max_tokens=2))
    bench.finish()
    assert {frame.lease for frame in bench.frames[said:]} == {"next"}  # type: ignore[attr-defined]
    assert bench.engine.used == 0


def test_cancelling_a_job_that_is_not_here_does_nothing() -> None:
    Bench().batcher.cancel("nobody")


def test_cancelling_all_names_those_that_run_and_those_that_wait() -> None:
    bench = Bench(FakeEngine(slots=1))
    bench.submit(job("runs"))
    bench.submit(job("waits"))
    bench.step()
    assert bench.batcher.cancel_all() == ["runs", "waits"]
    assert len(bench.batcher) == 0


def test_there_is_nothing_to_wait_for_without_jobs_or_under_limits_that_allow_nothing() -> None:
    bench = Bench()
    assert bench.batcher.wait_s(0) is None
    bench.submit(job("x"))
    assert bench.batcher.wait_s(0) == 0
    bench.pace.limits = NOTHING
    assert bench.batcher.wait_s(0) is None


def test_after_a_step_comes_the_rest_that_the_share_asks_for() -> None:
    bench = Bench(limits=replace(OPEN_LIMITS, compute_share=0.8))
    bench.submit(job("x"))
    bench.step()
    bench.pace.stepped(10.0, 10.4)
    assert bench.batcher.wait_s(10.4) == pytest.approx(0.1)
    assert bench.batcher.wait_s(10.6) == 0
    bench.pace.limits = OPEN_LIMITS
    assert bench.batcher.wait_s(10.4) == 0


@given(st.floats(0.01, 1), st.floats(0.001, 10))
def test_the_share_holds_over_a_step_and_its_rest(share: float, took_s: float) -> None:
    bench = Bench(limits=replace(OPEN_LIMITS, compute_share=share))
    bench.pace.stepped(0.0, took_s)
    assert took_s / bench.pace.next_step_s == pytest.approx(share)


def test_two_jobs_start_no_sooner_than_the_interval_after_each_other() -> None:
    bench = Bench(FakeEngine(end_weight=-100), limits=replace(OPEN_LIMITS, interval_ms=50))
    bench.submit(job("0"))
    bench.submit(job("1"))
    bench.step()
    bench.now_s = 0.049
    bench.step()
    assert bench.told("1").frames == []
    bench.now_s = 0.05
    bench.step()
    assert bench.told("1").tokens != ()


def test_a_job_alone_waits_for_the_interval_without_turning() -> None:
    bench = Bench(FakeEngine(end_weight=100), limits=replace(OPEN_LIMITS, interval_ms=50))
    bench.submit(job("0"))
    bench.finish()
    bench.submit(job("1"))
    assert bench.batcher.wait_s(0.02) == pytest.approx(0.03)
