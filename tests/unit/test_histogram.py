"""How long something takes, counted; and the agent's figures as Prometheus reads them."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.cli.metrics import metrics
from gogrid_desktop.core.histogram import BOUNDS_MS, Histogram
from gogrid_desktop.core.status import AgentStatus, Totals, YieldStats

times = st.lists(st.floats(0, 20_000), max_size=50)


def counted(times_ms: list[float]) -> Histogram:
    return reduce(Histogram.with_one, times_ms, Histogram())


@given(times, st.floats(0, 1))
def test_a_part_of_all_kept_the_bound_that_is_told(times_ms: list[float], part: float) -> None:
    told = counted(times_ms)
    bound_ms = told.within_ms(part)
    assert told.count == len(times_ms)
    assert sum(took <= bound_ms for took in times_ms) >= part * len(times_ms) - 1e-9
    assert bound_ms <= told.worst_ms == max(times_ms, default=0.0)


@given(times)
def test_the_figures_are_cumulative_and_the_last_bucket_has_all(times_ms: list[float]) -> None:
    status = AgentStatus("1", 1, totals=Totals(tokens=7), yielding=YieldStats(count=3, whole=counted(times_ms)))
    lines = metrics(status).splitlines()
    assert "gogrid_tokens_total 7" in lines
    assert "gogrid_yields_total 3" in lines
    counts = [int(line.split()[-1]) for line in lines if line.startswith('gogrid_yield_seconds_bucket{phase="whole"')]
    assert len(counts) == len(BOUNDS_MS) + 1
    assert counts == sorted(counts)
    assert counts[-1] == len(times_ms)
    assert f'gogrid_yield_seconds_count{{phase="whole"}} {len(times_ms)}' in lines
