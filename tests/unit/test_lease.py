"""The life of a job, rule by rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gogrid_desktop.core.lease import (
    BACKOFF_MAX_S,
    MAX_ATTEMPTS,
    MAX_BARREN,
    MAX_BARREN_IN_A_ROW,
    Chunk,
    Completed,
    Faulted,
    FaultKind,
    FinishReason,
    Heard,
    Job,
    JobState,
    Rejected,
    Released,
    ReleaseReason,
    Said,
    Verdict,
    backoff_s,
    cancel,
    expire,
    grant,
    hear,
    job_of,
    pass_deadline,
    shift,
    unarrived,
)

NEW = Job("req.0", deadline=1000.0, max_tokens=100, prompt_bytes=10)


def leased(job: Job = NEW, node: str = "a", poll: str = "p1", now: float = 10.0) -> Job:
    return grant(job, node, poll, now)


def chunk(job: Job, tokens: int = 1, size: int = 3, index: int = 0) -> Chunk:
    return Chunk(index, job.tokens, job.bytes, tokens, size)


def say(
    job: Job, *chunks: Chunk, end: object = None, prompt: tuple[int, str] | None = None, now: float = 11.0
) -> Heard:
    assert job.lease is not None
    tokens, digest = prompt or (None, None)
    said = Said(job.lease.node, job.lease.id, job.fence, tokens, digest, chunks, end)  # type: ignore[arg-type]
    return hear(job, said, now, 0.5)


def with_tokens(tokens: int) -> Job:
    return say(leased(), Chunk(0, 0, 0, tokens, tokens * 3)).job


def test_every_grant_raises_the_fence_and_names_the_lease_after_job_and_fence() -> None:
    first = leased()
    again = leased(unarrived(first))
    assert (first.fence, again.fence) == (1, 2)
    assert first.lease is not None
    assert again.lease is not None
    assert first.lease.id != again.lease.id
    assert job_of(again.lease.id) == "req.0"


def test_a_chunk_is_taken_when_both_counters_match() -> None:
    heard = say(leased(), Chunk(0, 0, 0, 2, 5), Chunk(1, 2, 5, 1, 0))
    assert heard.verdict is Verdict.RENEWED
    assert [one.index for one in heard.taken] == [0, 1]
    assert (heard.job.tokens, heard.job.bytes) == (3, 5)


@pytest.mark.parametrize(("tokens_before", "bytes_before"), [(1, 0), (0, 1), (1, 3)])
def test_a_chunk_whose_counters_differ_changes_nothing(tokens_before: int, bytes_before: int) -> None:
    job = leased()
    heard = say(job, Chunk(0, tokens_before, bytes_before, 2, 5))
    assert heard.verdict is Verdict.RENEWED
    assert heard.taken == ()
    assert heard.job == job


def test_a_chunk_sent_twice_counts_once() -> None:
    first = say(leased(), Chunk(0, 0, 0, 2, 5))
    again = say(first.job, Chunk(0, 0, 0, 2, 5))
    assert again.taken == ()
    assert again.job == first.job


def test_text_that_was_held_back_comes_without_tokens() -> None:
    job = with_tokens(2)
    heard = say(job, chunk(job, tokens=0, size=4))
    assert (heard.job.tokens, heard.job.bytes) == (2, 10)
    assert len(heard.taken) == 1


@pytest.mark.parametrize("change", [{"node": "b"}, {"lease": "req.0.9"}, {"fence": 0}, {"fence": 2}])
def test_a_stranger_an_unknown_lease_and_another_fence_change_nothing(change: dict[str, object]) -> None:
    job = leased()
    said = replace(Said("a", "req.0.1", 1, None, None, (chunk(job),)), **change)  # type: ignore[arg-type]
    heard = hear(job, said, 11.0, 0.5)
    assert heard == Heard(job, Verdict.LOST)


def test_an_older_lease_is_lost_once_the_job_was_leased_again() -> None:
    old = leased()
    new = leased(expire(old, 40.0, 0.0), node="b")
    heard = hear(new, Said("a", "req.0.1", 1, None, None, (chunk(old),)), 41.0, 0.5)
    assert heard == Heard(new, Verdict.LOST)


def test_a_late_report_with_the_newest_fence_takes_the_job_back() -> None:
    job = expire(leased(), 40.0, 0.0)
    assert job.state is JobState.QUEUED
    heard = say(job, chunk(job), now=41.0)
    assert heard.job.state is JobState.LEASED
    assert heard.job.tokens == 1
    assert heard.job.attempts == 0


def test_a_lease_that_its_node_ended_cannot_be_taken_back() -> None:
    job = leased()
    released = say(job, end=Released(ReleaseReason.YIELDED)).job
    heard = hear(released, Said("a", "req.0.1", 1, None, None, (chunk(job),)), 12.0, 0.5)
    assert heard == Heard(released, Verdict.LOST)


def test_completion_is_taken_when_the_totals_are_equal() -> None:
    job = with_tokens(4)
    heard = say(job, end=Completed(4, 12, FinishReason.STOP))
    assert (heard.verdict, heard.remember) == (Verdict.DONE, True)
    assert (heard.job.state, heard.job.finish) == (JobState.COMPLETED, FinishReason.STOP)


@pytest.mark.parametrize("totals", [(3, 12), (5, 12), (4, 11), (4, 13)])
def test_completion_with_other_totals_is_not_taken(totals: tuple[int, int]) -> None:
    job = with_tokens(4)
    heard = say(job, end=Completed(*totals, FinishReason.STOP))
    assert (heard.verdict, heard.remember) == (Verdict.RENEWED, False)
    assert heard.job == job


def test_a_release_waits_for_the_tokens_that_were_lost_before_it() -> None:
    job = leased()
    heard = say(job, Chunk(0, 3, 9, 2, 5), end=Released(ReleaseReason.SHUTDOWN))
    assert heard.verdict is Verdict.RENEWED
    assert heard.job.state is JobState.LEASED


def test_a_release_after_a_repeated_chunk_is_taken() -> None:
    job = with_tokens(4)
    heard = say(job, Chunk(0, 0, 0, 4, 12), end=Released(ReleaseReason.SHUTDOWN))
    assert heard.verdict is Verdict.DONE
    assert heard.job.tokens == 4


@pytest.mark.parametrize("reason", list(ReleaseReason))
def test_a_release_keeps_the_tokens_and_costs_no_attempt(reason: ReleaseReason) -> None:
    heard = say(with_tokens(4), end=Released(reason))
    assert (heard.job.state, heard.job.tokens, heard.job.attempts) == (JobState.QUEUED, 4, 0)
    assert heard.job.not_before <= 11.0


def test_a_release_without_a_token_backs_the_job_off_blamelessly() -> None:
    heard = say(leased(), end=Released(ReleaseReason.YIELDED))
    assert heard.job.attempts == 0
    assert heard.job.not_before > 11.0


def test_needs_context_asks_for_a_node_with_more() -> None:
    heard = say(leased(), end=Released(ReleaseReason.NEEDS_CONTEXT, 9000))
    assert heard.job.needs_context == 9000
    again = say(leased(heard.job), end=Released(ReleaseReason.NEEDS_CONTEXT, 100))
    assert again.job.needs_context == 9000


def test_incompatible_goes_to_another_node() -> None:
    assert say(with_tokens(2), end=Released(ReleaseReason.INCOMPATIBLE)).job.avoid == ("a",)


def test_a_rejection_fails_at_once_with_the_requests_own_fault() -> None:
    heard = say(leased(), end=Rejected("context_length_exceeded", "too long", "messages"))
    assert heard.verdict is Verdict.DONE
    assert heard.job.state is JobState.FAILED
    assert heard.job.error is not None
    assert (heard.job.error.status, heard.job.error.code) == (400, "context_length_exceeded")


def test_silence_without_a_token_is_an_attempt_and_three_fail() -> None:
    job = NEW
    for attempt in range(1, MAX_ATTEMPTS + 1):
        job = expire(leased(job), 40.0, 0.0)
        assert job.attempts == attempt
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == "attempts_exhausted"


def test_a_token_clears_attempts_suspicion_and_avoided_nodes() -> None:
    job = replace(NEW, attempts=2, barren_in_a_row=5, suspect=True, avoid=("x",))
    heard = say(leased(job), Chunk(0, 0, 0, 1, 0))
    after = heard.job
    assert (after.attempts, after.barren_in_a_row, after.suspect, after.avoid) == (0, 0, False, ())


def test_silence_after_a_token_costs_nothing_but_avoids_the_node() -> None:
    job = expire(with_tokens(1), 40.0, 0.5)
    assert (job.state, job.attempts, job.tokens, job.avoid) == (JobState.QUEUED, 0, 1, ("a",))
    assert job.not_before == 40.0


@pytest.mark.parametrize("kind", [FaultKind.WORKER, FaultKind.JOB])
def test_a_fault_without_a_token_is_an_attempt(kind: FaultKind) -> None:
    heard = say(leased(), end=Faulted(kind))
    assert (heard.job.attempts, heard.job.avoid) == (1, ("a",))


def test_a_job_that_fails_by_itself_on_two_nodes_is_poison() -> None:
    first = say(leased(), end=Faulted(FaultKind.JOB)).job
    same = say(leased(first), end=Faulted(FaultKind.JOB)).job
    assert same.state is JobState.QUEUED
    other = say(leased(first, node="b"), end=Faulted(FaultKind.JOB)).job
    assert other.state is JobState.FAILED
    assert other.error is not None
    assert other.error.code == "job_failed"


def test_a_suspect_is_leased_alone_and_dying_alone_is_its_own_fault() -> None:
    suspect = say(leased(), end=Faulted(FaultKind.SUSPECT)).job
    assert (suspect.suspect, suspect.attempts, suspect.faulted) == (True, 0, ())
    alone = leased(suspect)
    assert alone.lease is not None
    assert alone.lease.alone
    again = say(alone, end=Faulted(FaultKind.SUSPECT)).job
    assert (again.faulted, again.attempts) == (("a",), 1)


def test_a_lease_that_never_arrived_is_queued_at_once_without_blame() -> None:
    job = unarrived(leased())
    assert (job.state, job.attempts, job.not_before, job.barren_in_a_row) == (JobState.QUEUED, 0, 0.0, 0)


def test_ten_barren_leases_in_a_row_are_a_dead_letter() -> None:
    job = NEW
    for _ in range(MAX_BARREN_IN_A_ROW):
        assert job.state is JobState.QUEUED
        job = say(leased(job), end=Released(ReleaseReason.YIELDED)).job
    assert job.error is not None
    assert job.error.code == "dead_letter"


def test_a_hundred_barren_leases_in_all_are_a_dead_letter() -> None:
    job = replace(NEW, max_tokens=10_000)
    for _ in range(MAX_BARREN):
        assert job.state is JobState.QUEUED
        job = say(leased(job), end=Released(ReleaseReason.YIELDED)).job
        if job.state is JobState.QUEUED and job.barren_in_a_row == MAX_BARREN_IN_A_ROW - 1:
            giving = leased(job)
            job = say(giving, chunk(giving), end=Released(ReleaseReason.YIELDED)).job
    assert job.error is not None
    assert job.error.code == "dead_letter"


def test_a_cancelled_job_says_so_to_its_node() -> None:
    job = cancel(leased())
    assert job.state is JobState.CANCELLED
    heard = say(job, chunk(job))
    assert heard.verdict is Verdict.CANCELLED
    assert heard.job.tokens == 0


def test_a_passed_deadline_ends_the_job_with_its_reason() -> None:
    job = pass_deadline(leased())
    assert job.state is JobState.EXPIRED
    assert job.error is not None
    assert job.error.status == 504
    assert say(job).verdict is Verdict.CANCELLED


@pytest.mark.parametrize("end", [cancel, pass_deadline, lambda job: expire(job, 1.0, 0.0), unarrived])
def test_nothing_moves_a_job_that_has_ended(end: object) -> None:
    done = say(with_tokens(1), end=Completed(1, 3, FinishReason.LENGTH)).job
    assert end(done) == done  # type: ignore[operator]


def test_the_prompts_size_is_fixed_with_the_first_token() -> None:
    counted = say(leased(), prompt=(7, "x")).job
    recounted = say(counted, Chunk(0, 0, 0, 1, 1), prompt=(8, "y")).job
    later = say(recounted, prompt=(8, "y")).job
    assert (counted.prompt_tokens, recounted.prompt_tokens, later.prompt_tokens) == (7, 8, 8)


def test_a_resuming_node_that_tokenises_otherwise_is_incompatible() -> None:
    job = say(leased(), Chunk(0, 0, 0, 1, 1), prompt=(8, "y")).job
    resumed = leased(expire(job, 40.0, 0.0), node="b")
    heard = say(resumed, chunk(resumed), prompt=(9, "z"))
    assert heard.verdict is Verdict.LOST
    assert (heard.job.state, heard.job.tokens, heard.job.attempts) == (JobState.QUEUED, 1, 0)
    assert "b" in heard.job.avoid


def test_a_prompt_cannot_have_more_tokens_than_bytes_and_some() -> None:
    assert say(leased(), prompt=(74, "x")).verdict is Verdict.RENEWED
    heard = say(leased(), prompt=(75, "x"))
    assert heard.verdict is Verdict.LOST
    assert heard.job.faulted == ("a",)


def test_too_many_tokens_without_a_byte_are_a_fault() -> None:
    job = leased()
    for _ in range(16):
        heard = say(job, chunk(job, tokens=1, size=0))
        assert heard.verdict is Verdict.RENEWED
        job = heard.job
    heard = say(job, chunk(job, tokens=1, size=0))
    assert heard.verdict is Verdict.LOST
    assert (heard.job.tokens, heard.job.faulted) == (16, ("a",))


def test_a_byte_ends_the_dry_run() -> None:
    job = leased()
    for size in (*[0] * 16, 1, *[0] * 16):
        heard = say(job, chunk(job, tokens=1, size=size))
        assert heard.verdict is Verdict.RENEWED
        job = heard.job


def test_more_tokens_than_were_asked_for_are_a_fault() -> None:
    assert say(leased(), Chunk(0, 0, 0, 100, 9)).job.tokens == 100
    assert say(leased(), Chunk(0, 0, 0, 101, 9)).verdict is Verdict.LOST


def test_an_outage_moves_every_time_and_nothing_else() -> None:
    job = shift(replace(leased(), not_before=5.0), 100.0)
    assert (job.deadline, job.not_before) == (1100.0, 105.0)
    assert job.lease is not None
    assert job.lease.granted_at == 110.0
    done = cancel(NEW)
    assert shift(done, 100.0) == done


@pytest.mark.parametrize("row", [1, 2, 8, 9, 10, 50, 2000])
def test_the_pause_stays_between_a_second_and_five_minutes(row: int) -> None:
    assert backoff_s(row, 0.0) == 1.0
    assert 1.0 <= backoff_s(row, 1.0) <= BACKOFF_MAX_S
    assert backoff_s(row + 1, 1.0) >= backoff_s(row, 1.0)
