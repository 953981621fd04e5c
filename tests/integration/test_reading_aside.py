"""A long prompt that is read aside, with the real model: the same figures as in the steps, and nothing left running."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from fixtures_worker import WorkerProcess, chat_job, load_command

from gogrid_desktop.worker import aside, llama
from gogrid_desktop.worker import messages as w
from gogrid_desktop.worker.aside import PIECE_ROWS, Aside
from gogrid_desktop.worker.engine import Decoded, Floats, Span
from gogrid_desktop.worker.llama_engine import LlamaEngine

pytestmark = pytest.mark.model

TOKENS = np.arange(1000, 1000 + 2 * PIECE_ROWS + 20, dtype=np.int32)
SLOTS = 3
LONG = "Once upon a time a keeper lit the lamp, and the storm came nearer from the sea. " * 60


LOG = llama.LlamaLog(lambda _level, _line: None)  # llama.cpp has its address until the process ends


class _NoWatch:
    def began(self) -> None: ...

    def ended(self, *, counts: bool) -> None: ...


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaEngine]:
    load = load_command(context=1024, total_context=1024 * SLOTS, slots=SLOTS, threads=2)
    it = LlamaEngine(load, LOG, llama.Interrupt(), lambda: True, _NoWatch())
    yield it
    it.close()


@pytest.fixture
def reader(engine: LlamaEngine) -> Iterator[Aside]:
    assert engine.aside is not None
    yield engine.aside
    for slot in range(SLOTS):
        engine.forget(slot, 0)


def read(engine: LlamaEngine, slot: int, at: int, end: int) -> None:
    for begin in range(at, end, PIECE_ROWS):
        piece = TOKENS[begin : min(end, begin + PIECE_ROWS)]
        assert engine.decode([Span(slot, begin, piece, False)]) is Decoded.DONE


def last_logits(engine: LlamaEngine, slot: int, at: int) -> Floats:
    assert engine.decode([Span(slot, at, TOKENS[at : at + 1], True)]) is Decoded.DONE
    return engine.logits(0).copy()


def wait(reader: Aside) -> None:
    end_s = time.monotonic() + 60
    while not reader.ended:
        assert time.monotonic() < end_s
        time.sleep(0.01)


@pytest.mark.parametrize("position", [0, 100])
@pytest.mark.parametrize("slot", range(SLOTS))
def test_what_was_read_aside_is_what_the_steps_would_have_read(
    engine: LlamaEngine, reader: Aside, slot: int, position: int
) -> None:
    last = len(TOKENS) - 1
    read(engine, (slot + 1) % SLOTS, 0, 50)  # others hold something as well
    read(engine, slot, 0, position)
    reader.begin(slot, position, TOKENS[position:last])
    beside = engine.decode([Span((slot + 1) % SLOTS, 50, TOKENS[50:51], True)])
    wait(reader)
    assert (beside, reader.end()) == (Decoded.DONE, last)
    aside_logits = last_logits(engine, slot, last)
    engine.forget(slot, 0)
    read(engine, slot, 0, position)
    read(engine, slot, position, last)
    np.testing.assert_allclose(aside_logits, last_logits(engine, slot, last), atol=1e-3)


def test_stopped_at_once_it_has_whole_pieces_or_nothing(engine: LlamaEngine, reader: Aside) -> None:
    read(engine, 0, 0, 64)
    reader.begin(0, 64, TOKENS[64:])
    began_s = time.monotonic()
    held = reader.end()
    assert time.monotonic() - began_s < 5
    assert (held - 64) % PIECE_ROWS == 0
    aside_logits = last_logits(engine, 0, held)
    engine.forget(0, 0)
    read(engine, 0, 0, 64)
    read(engine, 0, 64, held)
    np.testing.assert_allclose(aside_logits, last_logits(engine, 0, held), atol=1e-3)


def test_where_no_context_can_be_opened_it_says_so_once_and_is_not_asked_again(
    engine: LlamaEngine, caplog: pytest.LogCaptureFixture
) -> None:
    poor = Aside(engine._context, SLOTS, 2, 1, lambda _cells, _threads, _interrupt: None)
    assert poor.worth(0, 100)
    poor.begin(0, 0, TOKENS[:100])
    wait(poor)
    assert poor.end() == 0
    assert not poor.worth(0, 100)
    assert "could not be read aside" in caplog.text


def test_a_state_that_is_not_taken_leaves_the_sequence_empty(
    engine: LlamaEngine, reader: Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "_with_streams", lambda state, _count: state)
    monkeypatch.setattr(reader, "_most_tokens", reader._most_tokens)  # put back after the test
    reader.begin(1, 0, TOKENS[:100])
    wait(reader)
    assert reader.end() == 0
    assert not reader.worth(0, 100)
    read(engine, 1, 0, 10)  # the sequence can be used


def test_shared_cells_short_prompts_and_long_ones_are_not_read_aside(engine: LlamaEngine, reader: Aside) -> None:
    assert not reader.worth(0, 20)
    assert reader.worth(500, 200)
    assert not reader.worth(0, 10**6)
    load = load_command(context=1024, total_context=2048, slots=SLOTS)
    sharing = LlamaEngine(load, LOG, llama.Interrupt(), lambda: True, _NoWatch())
    assert sharing.aside is None
    sharing.close()


def test_a_paused_worker_reads_nothing_aside_and_goes_on_with_it() -> None:
    with WorkerProcess() as worker:
        worker.ready(context=2048, total_context=2048 * 4, threads=2)
        worker.start("story", chat_job("Tell me a long story.", max_tokens=400))
        worker.next(w.Emitted)
        worker.start("long", chat_job(LONG, max_tokens=3))
        worker.next(w.Prompted, lambda frame: frame.lease == "long")
        for _ in range(3):
            worker.next(w.Emitted, lambda frame: frame.lease == "story")
        worker.send(w.Pause(seq=7))
        worker.next(w.Applied, lambda frame: frame.seq == 7)
        process = psutil.Process(worker.process.pid)
        before = process.cpu_times()
        assert not worker.quiet_for(0.5)
        after = process.cpu_times()
        assert (after.user + after.system) - (before.user + before.system) <= 0.05
        worker.send(w.Resume(seq=8))
        assert worker.ended("long").tokens >= 1
        told = [frame.tokens for frame in worker.said if isinstance(frame, w.Prefilled) and frame.lease == "long"]
        assert told == sorted(told)
        assert len(told) < 12  # in the steps it would be told of every few rows
