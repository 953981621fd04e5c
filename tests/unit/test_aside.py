"""A long prompt is read beside the steps while others wait for their tokens, and no token changes by it."""

from __future__ import annotations

from dataclasses import replace

from fixtures_engine import OPEN_LIMITS, Bench, FakeAside, FakeEngine, job
from hypothesis import given, settings
from hypothesis import strategies as st

from gogrid_desktop.core.profiles import NOTHING
from gogrid_desktop.protocol.grid import Priority
from gogrid_desktop.worker import messages as w

LONG = [1 + i % 11 for i in range(50)]
HALF = replace(OPEN_LIMITS, compute_share=0.5)

PROMPTS = st.lists(st.lists(st.integers(1, 11), min_size=1, max_size=90), min_size=1, max_size=6)
EVENT_NAMES = ("step", "settle", "half", "whole", "cancel", "fewer", "more", "submit")
EVENTS = st.lists(st.sampled_from(EVENT_NAMES), max_size=60)


def bench_with(aside: FakeAside, **how: object) -> tuple[Bench, FakeAside]:
    return Bench(FakeEngine(end_weight=-100, aside=aside, **how)), aside  # type: ignore[arg-type]


def generating(bench: Bench, **how: object) -> None:
    """Let one job generate, for whose tokens somebody waits."""
    bench.submit(job("short", [1, 2], max_tokens=200, **how))
    bench.step(3)


@settings(max_examples=150)
@given(PROMPTS, EVENTS, st.integers(1, 40), st.booleans())
def test_whatever_happens_meanwhile_no_token_changes(
    prompts: list[list[int]], events: list[str], rows: int, fails: bool
) -> None:
    bench, _ = bench_with(FakeAside(rows, fails=fails))
    waiting = list(enumerate(prompts))
    cancelled: set[int] = set()
    for event in events:
        match event:
            case "step":
                bench.step(2)
            case "settle":
                bench.batcher.settle()
            case "half" | "whole":
                bench.pace.limits = HALF if event == "half" else OPEN_LIMITS
            case "fewer" | "more":
                bench.batcher.room(1 if event == "fewer" else 4, prefixes=True)
            case "cancel" if len(cancelled) < len(prompts) - len(waiting):
                cancelled.add(len(cancelled))
                bench.batcher.cancel(f"{len(cancelled) - 1}")
            case "submit" if waiting:
                i, prompt = waiting.pop(0)
                bench.submit(job(f"{i}", prompt, salt="a" if i % 2 else ""))
    bench.pace.limits = OPEN_LIMITS
    bench.batcher.room(4, prefixes=True)
    for i, prompt in waiting:
        bench.submit(job(f"{i}", prompt))
    bench.finish()
    for i, prompt in enumerate(prompts):
        plain = Bench(FakeEngine(end_weight=-100))
        plain.submit(job("x", prompt))
        plain.finish()
        tokens = bench.told(f"{i}").tokens
        assert tokens == plain.told("x").tokens[: len(tokens)] if i in cancelled else plain.told("x").tokens


def test_while_others_wait_a_long_prompt_takes_no_row_of_their_steps() -> None:
    bench, aside = bench_with(FakeAside(10))
    generating(bench)
    bench.submit(job("long", LONG))
    before = len(bench.engine.rows)
    bench.step(5)
    assert bench.engine.rows[before:] == [1] * 5
    assert aside.begun == [(1, 0, len(LONG) - 1)]
    assert not bench.told("long").tokens
    bench.step()
    assert bench.engine.rows[-1] == 2  # the last row of the prompt, for its logits
    assert len(bench.told("long").tokens) == 1
    bench.finish()


def test_where_nobody_waits_it_is_read_in_the_steps() -> None:
    bench, aside = bench_with(FakeAside(10))
    bench.submit(job("long", LONG))
    bench.finish()
    assert aside.begun == []


def test_when_the_others_have_ended_the_steps_go_on_with_it() -> None:
    bench, aside = bench_with(FakeAside(1))
    generating(bench)
    bench.submit(job("long", LONG))
    bench.step(5)
    bench.batcher.cancel("short")
    bench.step()
    assert aside.begun == [(1, 0, len(LONG) - 1)]
    assert bench.engine.rows[-1] > 10
    bench.finish()


def test_a_share_of_the_time_is_kept_by_the_steps_alone() -> None:
    bench, aside = bench_with(FakeAside(1))
    generating(bench)
    bench.submit(job("long", LONG))
    bench.step(4)
    bench.pace.limits = HALF
    bench.step()
    assert bench.engine.rows[-1] > 1
    bench.finish()
    assert len(aside.begun) == 1


def test_after_settling_nothing_runs_and_it_begins_again_where_it_was() -> None:
    bench, aside = bench_with(FakeAside(5))
    generating(bench)
    bench.submit(job("long", LONG))
    bench.step(4)
    bench.batcher.settle()
    bench.batcher.settle()
    bench.pace.limits = NOTHING
    assert bench.batcher.wait_s(0.0) is None
    bench.pace.limits = OPEN_LIMITS
    bench.step()
    assert [position for _, position, _ in aside.begun] == [0, 15]
    assert w.Prefilled(lease="long", tokens=15) in bench.frames
    bench.finish()


def test_one_at_a_time_and_what_matters_more_first() -> None:
    bench, aside = bench_with(FakeAside(5))
    generating(bench)
    bench.submit(job("first", LONG), job("second", LONG[::-1]))
    bench.step(3)
    assert [slot for slot, _, _ in aside.begun] == [1]
    bench.submit(job("urgent", LONG[::2] * 2, priority=Priority.HIGH))
    bench.step(3)
    assert [slot for slot, _, _ in aside.begun] == [1, 3]
    before = len(bench.engine.rows)
    bench.finish()
    assert [slot for slot, _, _ in aside.begun[2:]] == [1, 2]
    assert max(bench.engine.rows[before:]) <= 4


def test_where_it_cannot_be_read_aside_it_is_read_in_the_steps() -> None:
    bench, aside = bench_with(FakeAside(5, fails=True))
    generating(bench)
    bench.submit(job("long", LONG))
    bench.finish()
    assert len(aside.begun) == 1
    assert len(bench.told("long").tokens) == 20


def test_what_a_prefix_holds_already_is_not_read_again() -> None:
    bench, aside = bench_with(FakeAside(10), sequences=8)
    bench.submit(job("before", LONG, salt="s"))
    bench.finish()
    generating(bench)
    bench.submit(job("long", [*LONG, *LONG[:40]], salt="s"))
    bench.finish()
    ((_, position, rows),) = aside.begun
    assert (position, position + rows) == (bench.told("long").finished.reused, 89)
    assert position >= len(LONG)
