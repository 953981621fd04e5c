"""When a worker that keeps failing is tried again, and when not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.core.restarts import AGAIN_S, MOST_FAILURES, WITHIN_S, Restarts


def fail(restarts: Restarts, *times: float) -> Restarts:
    for now in times:
        restarts = restarts.failed(now, "It died.")
    return restarts


def test_too_many_failures_in_a_short_time_give_up_and_say_why_and_what_to_do() -> None:
    almost = fail(Restarts(), *range(MOST_FAILURES - 1))
    assert not almost.given_up(10.0)
    assert almost.sentence() == ""
    given_up = fail(almost, 10.0)
    assert given_up.given_up(10.0)
    assert "It died." in given_up.sentence()
    assert "settings" in given_up.sentence()


def test_it_is_tried_again_an_hour_later_and_not_given_up_at_the_first_new_failure() -> None:
    given_up = fail(Restarts(), *range(MOST_FAILURES))
    assert given_up.given_up(MOST_FAILURES - 1 + AGAIN_S - 1)
    later = MOST_FAILURES - 1 + AGAIN_S
    assert not given_up.given_up(later)
    assert not fail(given_up, later).given_up(later)


def test_a_finished_job_forgives_everything() -> None:
    assert not fail(fail(Restarts(), 1, 2, 3, 4).worked(), 5).given_up(5)


@given(st.lists(st.floats(1, 2000), max_size=60))
def test_it_is_given_up_exactly_when_so_many_failures_lie_within_the_time(gaps: list[float]) -> None:
    restarts, now, failures = Restarts(), 0.0, []
    for gap in gaps:
        now += gap
        failures.append(now)
        restarts = restarts.failed(now, "It died.")
        recent = [at for at in failures if now - at <= WITHIN_S]
        assert restarts.given_up(now) is (len(recent) >= MOST_FAILURES)
        assert len(restarts.failures) <= MOST_FAILURES
