"""The real worker with a real model: what it says, how it obeys, how it goes on after a kill."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from fixtures_gguf import write_bert
from fixtures_worker import MODEL, OPEN_LIMITS, WorkerProcess, chat_job, load_command, starter_model
from numpy.typing import NDArray

from gogrid_desktop.core.profiles import NOTHING
from gogrid_desktop.gguf import read_header
from gogrid_desktop.protocol.grid import FinishReason, Have, Job, JobKind, Message, SamplingParams
from gogrid_desktop.worker import messages as w
from gogrid_desktop.worker.journal import read_journal

pytestmark = pytest.mark.model

SKY = "What colour is the sky?"
STORY = "Tell me a long story about a lighthouse keeper and a storm."


@pytest.fixture(scope="module")
def shared() -> Iterator[WorkerProcess]:
    """One loaded worker for the tests that leave nothing behind in it."""
    with WorkerProcess() as worker:
        yield worker.ready()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess(tmp_path / "journal") as worker:
        yield worker


def test_a_chat_gets_a_sensible_answer_token_by_token(shared: WorkerProcess) -> None:
    shared.start("sky", chat_job(SKY))
    finished = shared.ended("sky")
    assert "blue" in shared.text("sky")
    assert shared.check_counters("sky", Have()) == Have(tokens=finished.tokens, bytes=finished.bytes)
    emitted = [f for f in shared.said if isinstance(f, w.Emitted) and f.lease == "sky"]
    assert max(len(f.chunk.token_ids) for f in emitted) == 1


def test_four_jobs_are_decoded_in_the_same_steps(shared: WorkerProcess) -> None:
    shared.send(w.Ping(seq=1))
    before = shared.next(w.Pong).steps
    for i in range(4):
        shared.start(f"four-{i}", chat_job(f"{STORY} Name it {i}.", max_tokens=100))
    for i in range(4):
        shared.ended(f"four-{i}")
    shared.send(w.Ping(seq=2))
    steps = shared.next(w.Pong).steps - before
    tokens = [len(shared.tokens(f"four-{i}")) for i in range(4)]
    assert tokens == [100] * 4
    assert steps < sum(tokens) * 0.7  # the prompts are read beside them, on a busy machine a row at a time


def test_the_same_seed_gives_the_same_answer_and_another_seed_another(shared: WorkerProcess) -> None:
    for lease, seed in (("one", 1), ("same", 1), ("other", 2)):
        shared.start(lease, chat_job(STORY, temperature=1, seed=seed, max_tokens=30))
        shared.ended(lease)
    assert shared.tokens("one") == shared.tokens("same") != shared.tokens("other")


def test_a_stop_string_ends_the_answer_before_it(shared: WorkerProcess) -> None:
    shared.start("stop", chat_job(SKY, stop=["sky"]))
    assert shared.ended("stop").finish_reason is FinishReason.STOP
    assert shared.text("stop") == "The "


def test_a_completion_goes_on_with_the_prompt(shared: WorkerProcess) -> None:
    params = SamplingParams(max_tokens=8, temperature=0)
    shared.start(
        "completion",
        Job(
            id="c",
            kind=JobKind.COMPLETION,
            model=MODEL,
            prompt="One, two, three, four,",
            rendered_at=0,
            deadline=4e9,
            params=params,
        ),
    )
    shared.ended("completion")
    assert "five" in shared.text("completion")


def test_control_tokens_in_a_message_are_plain_text_to_the_model(shared: WorkerProcess) -> None:
    shared.start("plain", chat_job("a", max_tokens=1))
    plain = shared.next(w.Prompted).tokens
    shared.ended("plain")
    shared.start("control", chat_job("<|im_end|>", max_tokens=1))
    assert shared.next(w.Prompted).tokens > plain
    shared.ended("control")


def test_an_unfinished_prompt_too_long_for_the_worker_asks_for_a_larger_context(shared: WorkerProcess) -> None:
    shared.start("long", chat_job("word " * 1500))
    rejected = shared.next(w.JobRejected)
    assert rejected.needs_context is not None and 1500 < rejected.needs_context < 1700


def test_a_prompt_too_long_for_the_model_is_the_requests_fault(shared: WorkerProcess) -> None:
    shared.start("longest", chat_job("word " * 10_000))
    rejected = shared.next(w.JobRejected)
    assert (rejected.code, rejected.param, rejected.needs_context) == ("context_length_exceeded", "messages", None)
    assert "8192" in rejected.message


def test_max_tokens_is_cut_to_the_room_in_the_context(shared: WorkerProcess) -> None:
    shared.start("room", chat_job("word " * 950, max_tokens=5000))
    prompted = shared.next(w.Prompted)
    finished = shared.ended("room")
    assert finished.tokens <= 1024 - prompted.tokens


@pytest.mark.parametrize("foreign", [{"prompt_hash": "0" * 64}, {"token_ids": (10**9,)}])
def test_tokens_of_another_model_are_incompatible(shared: WorkerProcess, foreign: dict[str, object]) -> None:
    shared.start("foreign", chat_job(SKY).model_copy(update=foreign))
    assert shared.next(w.JobFailed).incompatible


def test_a_cancelled_job_stops_and_is_answered_also_when_it_is_unknown(shared: WorkerProcess) -> None:
    shared.start("cancel", chat_job(STORY, max_tokens=500))
    shared.next(w.Emitted, lambda frame: frame.lease == "cancel")
    shared.send(w.Cancel(lease="cancel"), w.Cancel(lease="nobody"))
    assert shared.next(w.Cancelled).lease == "cancel"
    assert shared.next(w.Cancelled).lease == "nobody"
    shared.send(w.Ping(seq=3))
    assert shared.next(w.Pong).running == 0


@pytest.mark.parametrize(
    "line",
    [
        b"no json",
        b"{}",
        b"[1]",
        b'{"type": "start", "lease": "secret"}',
        b'{"type": "sing"}',
        b'{"type": "cancel", "lease": "\\ud800"}',
        b"\xff\xfe",
        b'{"type": "cancel", "lease": "' + b"x" * w.MAX_LINE_BYTES + b'"}',
    ],
    ids=["words", "empty", "list", "incomplete", "unknown", "surrogate", "bytes", "endless"],
)
def test_a_line_that_is_no_command_is_named_without_its_words_and_ignored(shared: WorkerProcess, line: bytes) -> None:
    shared.send_bytes(line + b"\n")
    record = shared.next(w.LogRecord)
    assert record.level == "error" and "secret" not in record.message and len(record.message) < 300
    shared.send(w.Ping(seq=4))
    assert shared.next(w.Pong).seq == 4


def test_a_job_for_another_model_is_handed_back(shared: WorkerProcess) -> None:
    shared.start("stranger", chat_job(SKY).model_copy(update={"model": "b" * 64}))
    assert shared.next(w.Cancelled).lease == "stranger"


def test_what_arrives_right_after_hello_is_obeyed_in_order(worker: WorkerProcess) -> None:
    worker.next(w.Hello)
    worker.send(w.SetLimits(seq=0, limits=NOTHING), w.Pause(seq=0), load_command())
    worker.next(w.Loaded)
    worker.start("early", chat_job(SKY, max_tokens=10))
    worker.next(w.Prompted)
    worker.send(w.SetLimits(seq=1, limits=OPEN_LIMITS))
    worker.next(w.Applied, lambda frame: frame.seq == 1)
    assert not [f for f in worker.quiet_for(0.3) if isinstance(f, w.Emitted | w.Prefilled)]
    worker.send(w.Resume(seq=2))
    worker.ended("early")
    assert [type(f) for f in worker.said if not isinstance(f, w.LogRecord)][:3] == [w.Hello, w.Applied, w.Applied]


def test_a_pause_in_the_middle_stops_all_steps_and_changes_no_token(worker: WorkerProcess) -> None:
    worker.ready()
    worker.start("whole", chat_job(STORY, max_tokens=50))
    worker.ended("whole")
    worker.start("paused", chat_job(STORY, max_tokens=50))
    for seq in range(10, 30, 2):
        worker.next(w.Emitted)
        worker.send(w.Pause(seq=seq))
        worker.next(w.Applied, lambda frame, seq=seq: frame.seq == seq)  # type: ignore[misc]
        assert not [f for f in worker.quiet_for(0.05) if isinstance(f, w.Emitted)]
        worker.send(w.Resume(seq=seq + 1))
    worker.ended("paused")
    assert worker.tokens("paused") == worker.tokens("whole")
    worker.check_counters("paused", Have())


def test_a_pause_stops_a_prompt_that_is_read_and_a_cancel_is_answered_meanwhile(worker: WorkerProcess) -> None:
    worker.ready()
    worker.start("prompt", chat_job("word " * 900))
    worker.next(w.Prompted)
    time.sleep(0.05)  # into the first step
    worker.send(w.Pause(seq=5))
    applied = worker.next(w.Applied, lambda frame: frame.seq == 5)
    assert applied.took_ms < 800
    worker.send(w.Cancel(lease="prompt"))
    assert worker.next(w.Cancelled).lease == "prompt"
    assert not [f for f in worker.said if isinstance(f, w.Emitted)]


def test_a_killed_workers_job_goes_on_in_another_without_a_gap(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with WorkerProcess(journal) as first:
        first.ready()
        first.start("first", chat_job(STORY, temperature=0.8, seed=5))
        for _ in range(20):
            first.next(w.Emitted)
        first.process.kill()
        tokens, text = first.tokens("first"), first.text("first")
        prompted = next(f for f in first.said if isinstance(f, w.Prompted))
    with WorkerProcess(journal) as second:
        second.ready()
        job = chat_job(STORY, temperature=0.8, seed=5, token_ids=tokens, have_bytes=len(text.encode()))
        second.start("second", job.model_copy(update={"prompt_hash": prompted.hash}))
        finished = second.ended("second")
        ended = second.check_counters("second", Have(tokens=20, bytes=len(text.encode())))
        assert ended == Have(tokens=finished.tokens, bytes=finished.bytes)
        whole = text + second.text("second")
    assert "\ufffd" not in whole
    entries = read_journal(journal)
    assert [(e.lease, e.first) for e in entries if e.count is None] == [("first", 0), ("second", 20)]
    said = [
        position for e in entries if e.lease == "second" and e.count for position in range(e.first, e.first + e.count)
    ]
    assert said == list(range(20, finished.tokens))
    assert {p for e in entries if e.lease == "first" and e.count for p in range(e.first, e.first + e.count)} >= set(
        range(20)
    )


def test_the_end_of_its_input_ends_it_at_once_also_in_a_step(worker: WorkerProcess) -> None:
    worker.ready()
    worker.start("prompt", chat_job("word " * 900))
    worker.next(w.Prompted)
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    assert worker.process.wait(1.0) == 0


def test_unloading_hands_jobs_back_and_gives_the_memory_back(worker: WorkerProcess) -> None:
    worker.ready()
    loaded = psutil.Process(worker.process.pid).memory_info().rss
    worker.start("running", chat_job(STORY, max_tokens=500))
    worker.next(w.Emitted)
    worker.send(w.Unload())
    assert worker.next(w.Cancelled).lease == "running"
    worker.next(w.Unloaded)
    assert psutil.Process(worker.process.pid).memory_info().rss < loaded - 50 * 2**20
    worker.send(load_command(), load_command(slots=2))
    while worker.next(w.Loaded).slots != 2:
        continue
    worker.start("again", chat_job(SKY))
    worker.ended("again")
    assert "blue" in worker.text("again")


def test_the_rank_is_taken_by_all_threads_and_read_back(worker: WorkerProcess) -> None:
    worker.ready()
    worker.start("ranked", chat_job(STORY, max_tokens=500))
    worker.next(w.Emitted)
    worker.send(w.SetLimits(seq=7, limits=replace(OPEN_LIMITS, nice=12)))
    assert worker.next(w.Applied, lambda frame: frame.seq == 7).rank.nice == 12
    worker.next(w.Emitted)
    threads = psutil.Process(worker.process.pid).threads()
    assert {os.getpriority(os.PRIO_PROCESS, thread.id) for thread in threads} == {12}


def test_a_job_held_by_a_smaller_batch_goes_on_with_a_larger(worker: WorkerProcess) -> None:
    worker.ready()
    for lease in ("old", "young"):
        worker.start(lease, chat_job(f"{STORY} {lease}", max_tokens=60))
        worker.next(w.Emitted, lambda frame, lease=lease: frame.lease == lease)  # type: ignore[misc]
    worker.send(w.SetLimits(seq=8, limits=replace(OPEN_LIMITS, batch=1)))
    worker.next(w.Applied, lambda frame: frame.seq == 8)
    held = len(worker.tokens("young"))
    worker.ended("old")
    assert len(worker.tokens("young")) == held
    worker.ended("young")
    worker.check_counters("young", Have())


def bad_files(folder: Path) -> dict[str, Path]:
    """A file for each way in which a model can be bad, and a word of what is said of it."""
    model = starter_model().read_bytes()
    files = {"is not there": folder / "missing.gguf"}
    for word, data in (
        ("no GGUF", b"this is a text" * 100),
        ("cut off", model[: len(model) // 2]),
        ("architecture llxma", model.replace(b"llama", b"llxma")),
    ):
        files[word] = folder / f"{word.replace(' ', '-')}.gguf"
        files[word].write_bytes(data)
    return files


def test_a_bad_model_file_is_named_with_its_fault_and_the_next_one_loads(worker: WorkerProcess, tmp_path: Path) -> None:
    for word, path in bad_files(tmp_path).items():
        worker.send(load_command(path))
        failed = worker.next(w.LoadFailed)
        assert word in failed.message and str(path) in failed.message and failed.remedy
    worker.send(load_command(slots=0))
    assert "slots = 0 is not allowed: 1 to" in worker.next(w.LoadFailed).message
    worker.send(load_command())
    assert worker.next(w.Loaded).slots == 4


def test_the_header_of_the_starter_model_is_read() -> None:
    header = read_header(starter_model())
    assert (header.architecture, header.trained_context) == ("llama", 8192)
    assert "im_start" in (header.template or "")


def test_the_next_turn_of_a_chat_reads_only_what_is_new(shared: WorkerProcess) -> None:
    def turn(lease: str, *messages: Message, salt: str) -> tuple[int, int]:
        job = chat_job("", max_tokens=12).model_copy(update={"messages": messages, "prefix_salt": salt})
        shared.start(lease, job)
        prompted = shared.next(w.Prompted, lambda frame: frame.lease == lease)
        return prompted.tokens, shared.ended(lease).reused

    question = Message(role="user", content=STORY * 4)
    first_tokens, _ = turn("turn-1", question, salt="account")
    answer = Message(role="assistant", content=shared.text("turn-1"))
    _, reused = turn("turn-2", question, answer, Message(role="user", content="Go on."), salt="account")
    _, stolen = turn("turn-3", question, answer, Message(role="user", content="Go on."), salt="another")
    assert reused > first_tokens
    assert stolen == 0
    assert shared.tokens("turn-2") and shared.tokens("turn-3")


def test_a_text_is_embedded_and_alike_texts_are_close(shared: WorkerProcess) -> None:
    def embedding(lease: str, text: str) -> NDArray[np.float32]:
        job = chat_job("").model_copy(update={"kind": JobKind.EMBEDDING, "messages": (), "prompt": text})
        shared.start(lease, job)
        assert shared.ended(lease).tokens == 0
        return np.frombuffer(base64.b64decode(shared.text(lease)), dtype="<f4")

    cat = embedding("cat", "A cat sleeps on the warm window sill.")
    kitten = embedding("kitten", "A kitten sleeps on the warm sofa.")
    tax = embedding("tax", "Value added tax is due in the following quarter.")
    assert cat.shape == (576,)
    assert np.linalg.norm(cat) == pytest.approx(1, abs=1e-5)
    assert cat @ kitten > cat @ tax


def test_an_embedding_model_pools_for_itself_and_takes_no_chat(tmp_path: Path) -> None:
    path = tmp_path / "bert.gguf"
    write_bert(path)
    with WorkerProcess() as worker:
        worker.ready(path=path, context=128, total_context=512)
        job = chat_job("").model_copy(update={"kind": JobKind.EMBEDDING, "messages": (), "prompt": "hello world"})
        worker.start("text", job)
        worker.ended("text")
        vector = np.frombuffer(base64.b64decode(worker.text("text")), dtype="<f4")
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        worker.start("chat", chat_job("hello"))
        assert worker.next(w.JobRejected).code == "unsupported_kind"
