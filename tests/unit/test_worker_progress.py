"""What another thread learns of a worker while a step runs."""

from __future__ import annotations

import pytest

from gogrid_desktop.worker.progress import Progress


def test_a_step_that_runs_is_seen_running_and_counted_when_it_has_ended() -> None:
    progress = Progress()
    assert (progress.pong(1, 5.0).steps, progress.pong(1, 5.0).busy_s) == (0, 0.0)
    progress.began(10.0)
    during = progress.pong(2, 12.5)
    assert (during.seq, during.steps, during.busy_s) == (2, 0, pytest.approx(2.5))
    progress.ended(13.0)
    after = progress.pong(3, 20.0)
    assert (after.steps, after.busy_s, after.longest_s) == (1, 0.0, pytest.approx(3.0))
    assert after.rss_bytes > 0


def test_the_longest_step_is_told_once() -> None:
    progress = Progress()
    for took_s in (1.0, 3.0, 2.0):
        progress.began(10.0)
        progress.ended(10.0 + took_s)
    assert [progress.pong(seq, 99.0).longest_s for seq in (1, 2)] == [pytest.approx(3.0), 0.0]
    progress.began(10.0)
    progress.ended(10.5)
    assert progress.pong(3, 99.0).longest_s == pytest.approx(0.5)


def test_a_step_that_was_aborted_is_no_progress() -> None:
    progress = Progress()
    progress.began(10.0)
    progress.ended(11.0, counts=False)
    answer = progress.pong(1, 12.0)
    assert (answer.steps, answer.busy_s, answer.longest_s) == (0, 0.0, 0.0)
