"""What the node keeps until the coordinator has it: nothing is said twice, nothing is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.agent.outbox import HeldJob, Outbox
from gogrid_desktop.errors import WorkerError
from gogrid_desktop.protocol import grid as g

MODEL = "a" * 64


def lease(identity: str = "l1", tokens: tuple[int, ...] = (), text_bytes: int = 0) -> g.Lease:
    job = g.Job(
        id="j-" + identity,
        kind=g.JobKind.CHAT,
        model=MODEL,
        messages=(g.Message(role="user", content="hello"),),
        rendered_at=0.0,
        params=g.SamplingParams(max_tokens=100),
        deadline=1e9,
        token_ids=tokens,
        have=g.Have(tokens=len(tokens), bytes=text_bytes),
    )
    return g.Lease(id=identity, fence=1, job=job)


def chunk(job: HeldJob, ids: tuple[int, ...], text: str) -> g.Chunk:
    return g.Chunk(tokens_before=job.made.tokens, bytes_before=job.made.bytes, token_ids=ids, text=text)


def test_a_new_job_has_nothing_to_report() -> None:
    assert HeldJob(lease()).report() is None


def test_a_report_goes_on_from_what_the_coordinator_has() -> None:
    job = HeldJob(lease(tokens=(7, 8), text_bytes=3))
    job.emitted(chunk(job, (9,), "é"))
    report = job.report()
    assert report is not None
    assert report.chunks == (g.Chunk(tokens_before=2, bytes_before=3, token_ids=(9,), text="é"),)
    assert job.told(report, g.Have(tokens=3, bytes=5))
    assert job.report() is None


def test_a_chunk_that_leaves_a_gap_is_the_workers_fault() -> None:
    job = HeldJob(lease())
    with pytest.raises(WorkerError, match="went on from 1 tokens"):
        job.emitted(g.Chunk(tokens_before=1, bytes_before=0, token_ids=(1,), text="a"))


def test_a_verdict_that_knows_less_is_answered_from_there() -> None:
    job = HeldJob(lease())
    job.emitted(chunk(job, (1, 2), "ab"))
    assert job.acknowledged(g.Have(tokens=2, bytes=2))
    job.emitted(chunk(job, (3,), "c"))
    assert job.acknowledged(g.Have(tokens=1, bytes=1))
    report = job.report()
    assert report is not None
    assert report.chunks[0] == g.Chunk(tokens_before=1, bytes_before=1, token_ids=(2, 3), text="bc")


def test_a_verdict_beyond_what_was_made_makes_the_job_lost() -> None:
    outbox = Outbox()
    outbox.add(lease())
    sent = outbox.report("p", g.NodeState())
    verdict = g.LeaseVerdict(lease="l1", verdict=g.Verdict.RENEWED, have=g.Have(tokens=9, bytes=9))
    done, lost = outbox.settle(sent, (verdict,))
    assert (done, [job.lease.id for job in lost], outbox.jobs) == ([], ["l1"], {})


def test_a_lost_lease_is_dropped_and_a_done_one_counted() -> None:
    outbox = Outbox()
    for name in ("l1", "l2", "l3"):
        outbox.add(lease(name))
    sent = outbox.report("p", g.NodeState())
    assert sent.held == ("l1", "l2", "l3")
    done, lost = outbox.settle(
        sent,
        (
            g.LeaseVerdict(lease="l1", verdict=g.Verdict.LOST),
            g.LeaseVerdict(lease="l2", verdict=g.Verdict.DONE),
            g.LeaseVerdict(lease="unheard-of", verdict=g.Verdict.LOST),
        ),
    )
    assert [job.lease.id for job in lost] == ["l1"]
    assert [job.lease.id for job in done] == ["l2"]
    assert list(outbox.jobs) == ["l3"]


def test_a_resumed_worker_is_given_all_tokens_and_the_hash_of_the_prompt() -> None:
    job = HeldJob(lease(tokens=(1,), text_bytes=1))
    job.prompted(g.PromptFacts(tokens=12, hash="h"))
    job.emitted(chunk(job, (2, 3), "bc"))
    again = job.job_to_resume()
    assert again.token_ids == (1, 2, 3)
    assert again.have == g.Have(tokens=3, bytes=3)
    assert (again.prompt_tokens, again.prompt_hash) == (12, "h")


pieces = st.lists(st.tuples(st.lists(st.integers(0, 9), max_size=3), st.text(max_size=4)), max_size=12)


@given(pieces, st.lists(st.booleans(), max_size=12), st.lists(st.booleans(), max_size=12))
def test_whatever_reports_and_answers_get_lost_the_other_side_ends_with_the_whole(
    made: list[tuple[list[int], str]], sends: list[bool], answers: list[bool]
) -> None:
    """The other side takes a chunk iff both counters match, as the coordinator does."""
    job = HeldJob(lease())
    ids: list[int] = []
    text = b""

    def deliver(*, answered: bool) -> None:
        nonlocal text
        report = job.report()
        if report is None:
            return
        for one in report.chunks:
            if (one.tokens_before, one.bytes_before) == (len(ids), len(text)):
                ids.extend(one.token_ids)
                text += one.text.encode()
        if answered:
            assert job.told(report, g.Have(tokens=len(ids), bytes=len(text)))

    for i, (piece_ids, piece_text) in enumerate(made):
        job.emitted(chunk(job, tuple(piece_ids), piece_text))
        if i < len(sends) and sends[i]:
            deliver(answered=i < len(answers) and answers[i])
    # A lost answer leaves us behind: the first report is then refused, its verdict says what is there, the second fits.
    job.acknowledged(g.Have(tokens=len(ids), bytes=len(text)))
    deliver(answered=True)
    assert ids == [i for piece_ids, _ in made for i in piece_ids]
    assert text.decode() == "".join(piece_text for _, piece_text in made)
