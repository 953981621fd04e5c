"""Lists of CPUs: read, written, and refused in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.core.cpus import MOST, format_cpus, parse_cpus


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("", ()), ("0", (0,)), ("0-3,8", (0, 1, 2, 3, 8)), (" 8 , 0 - 1,1", (0, 1, 8)), ("4095", (4095,)), ("5-5", (5,))],
)
def test_a_list_is_read(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpus(text) == cpus


@pytest.mark.parametrize("text", ["3-1", "x", "-1", "1-", "1-2-3", "4096", "0-4096", "1.5", "²", "9" * 5000, "0x1"])
def test_what_is_no_list_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as 0-3,8"):
        parse_cpus(text)


@given(st.sets(st.integers(0, MOST)))
def test_a_list_that_was_written_is_read_back(cpus: set[int]) -> None:
    assert parse_cpus(format_cpus(cpus)) == tuple(sorted(cpus))


def test_it_is_written_as_short_as_it_can_be() -> None:
    assert format_cpus((8, 0, 1, 2, 3, 5, 6)) == "0-3,5-6,8"
    assert format_cpus(()) == ""
