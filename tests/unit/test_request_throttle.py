"""A hundred requests at once on a clock that is advanced by hand: their distance, their counts, and who gives up."""

from __future__ import annotations

import asyncio
import itertools
from itertools import pairwise

from fixtures_clock import FakeClock, settle
from hypothesis import given, settings
from hypothesis import strategies as st

from gogrid_desktop.agent.throttle import RequestThrottle
from gogrid_desktop.core.status import ThrottleStats


class LateClock(FakeClock):
    """Every other sleep ends late."""

    def __init__(self, start: float, late_s: float) -> None:
        super().__init__(start)
        self._late_s = itertools.cycle((late_s, 0.0))

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds + next(self._late_s))


class Requests:
    """Tasks that wait for their start; `starts` are their numbers and times."""

    def __init__(self, interval_s: float, late_s: float = 0.0) -> None:
        self.clock = LateClock(1024.0, late_s)  # and intervals in powers of two: the sums below are exact
        self.throttle = RequestThrottle(self.clock, interval_s)
        self.starts: list[tuple[int, float]] = []
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, count: int) -> None:
        for _ in range(count):
            self.tasks.append(asyncio.create_task(self._start(len(self.tasks))))

    async def _start(self, number: int) -> None:
        async with self.throttle:
            self.starts.append((number, self.clock.monotonic()))

    async def until(self, seconds: float, step_s: float) -> None:
        while seconds > 0:
            await self.clock.advance(step_s)
            seconds -= step_s


async def test_a_hundred_at_once_start_one_interval_apart_and_are_counted_exactly() -> None:
    requests = Requests(0.125)
    requests.ask(100)
    await settle()
    assert requests.throttle.stats() == ThrottleStats(100, 99, 0.99, waiting=99, interval_ms=125)
    await requests.until(12.5, 0.125)
    assert requests.starts == [(n, 1024.0 + 0.125 * n) for n in range(100)]
    assert requests.throttle.stats() == ThrottleStats(100, 99, 0.99, interval_ms=125)


async def test_those_that_wake_late_push_the_others_back() -> None:
    requests = Requests(0.125, late_s=0.0625)
    requests.ask(20)
    await requests.until(8.0, 0.0625)
    times = [at for _, at in requests.starts]
    assert len(times) == 20
    assert all(after - before >= 0.125 for before, after in pairwise(times))
    assert any(after - before > 0.125 for before, after in pairwise(times)), "some of them were late"


async def test_without_an_interval_nobody_waits() -> None:
    requests = Requests(0.0)
    requests.ask(100)
    await settle()
    assert [number for number, _ in requests.starts] == list(range(100))
    assert requests.throttle.stats() == ThrottleStats(100)


async def test_a_waiter_that_is_cancelled_gives_its_slot_to_the_next() -> None:
    requests = Requests(1.0)
    requests.ask(4)
    await settle()
    requests.tasks[3].cancel()
    await settle()
    requests.ask(1)
    await requests.until(8.0, 1.0)
    assert requests.starts == [(0, 1024.0), (1, 1025.0), (2, 1026.0), (4, 1027.0)]
    assert requests.throttle.stats() == ThrottleStats(5, 4, 0.8, cancelled=1, interval_ms=1000)


async def test_a_shorter_interval_counts_at_once_for_those_that_wait() -> None:
    requests = Requests(3600.0)
    requests.ask(4)
    await settle()
    await requests.clock.advance(2.0)
    requests.throttle.interval_s = 0.5
    await requests.until(4.0, 0.5)
    assert requests.starts == [(0, 1024.0), (1, 1026.0), (2, 1026.5), (3, 1027.0)]


async def test_a_longer_interval_counts_at_once_for_those_that_wait() -> None:
    requests = Requests(0.5)
    requests.ask(3)
    await settle()
    requests.throttle.interval_s = 8.0
    await requests.until(32.0, 0.5)
    assert requests.starts == [(0, 1024.0), (1, 1032.0), (2, 1040.0)]


async def test_requests_refused_for_memory_are_counted() -> None:
    throttle = RequestThrottle(FakeClock())
    throttle.refused_for_vram()
    assert throttle.stats() == ThrottleStats(rejected_for_vram=1)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.integers(1, 40)),
            st.tuples(st.just("give up"), st.integers(0, 1000)),
            st.tuples(st.just("wait"), st.integers(1, 30)),
            st.tuples(st.just("interval"), st.integers(0, 8)),
        ),
        max_size=25,
    )
)
def test_whatever_is_asked_and_given_up_no_two_starts_are_too_close_and_the_counts_are_exact(
    happenings: list[tuple[str, int]],
) -> None:
    async def play() -> None:
        requests = Requests(0.25)
        intervals: list[float] = []
        gave_up = 0
        for what, value in happenings:
            match what:
                case "ask":
                    requests.ask(value)
                case "give up" if requests.tasks:
                    gave_up += requests.tasks[value % len(requests.tasks)].cancel() and _waits(requests, value)
                case "wait":
                    await requests.clock.advance(value * 0.125)
                case "interval":
                    requests.throttle.interval_s = value * 0.125
            await settle()
            intervals += [requests.throttle.interval_s] * (len(requests.starts) - len(intervals))
            stats = requests.throttle.stats()
            assert stats.total == len(requests.tasks)
            assert stats.cancelled == gave_up
            assert stats.waiting == stats.total - len(requests.starts) - gave_up
        for ((_, before), (_, after)), interval_s in zip(pairwise(requests.starts), intervals[1:], strict=True):
            assert after - before >= interval_s
        for task in requests.tasks:
            task.cancel()
        await asyncio.gather(*requests.tasks, return_exceptions=True)

    asyncio.run(play())


def _waits(requests: Requests, value: int) -> bool:
    number = value % len(requests.tasks)
    return number not in {started for started, _ in requests.starts}
