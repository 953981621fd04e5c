"""How many prompt rows fit into a step, learned from steps of a machine that the test makes up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.worker.cost import ALONE_S, FIRST_ROWS, PLAIN_EVERY, STRETCH, UNFELT_S, StepCost

MOST = 512
MACHINES = st.tuples(st.floats(1e-4, 0.5), st.floats(1e-5, 0.2), st.floats(1e-5, 0.2))


def takes(machine: tuple[float, float, float], generating: int, rows: int) -> float:
    """A step: a fixed part, and one for each row of either kind."""
    fixed, decode, prompt = machine
    return fixed + generating * decode + rows * prompt


def learned(machine: tuple[float, float, float], generating: int, rounds: int = 30) -> StepCost:
    cost = StepCost()
    for _ in range(rounds):
        cost.learn(generating, 0, takes(machine, generating, 0))
        rows = cost.prompt_rows(generating, MOST)
        cost.learn(generating, rows, takes(machine, generating, rows))
    return cost


@given(MACHINES, st.integers(1, 16))
def test_a_step_with_prompt_rows_keeps_to_its_bound_or_has_one_row(
    machine: tuple[float, float, float], generating: int
) -> None:
    rows = learned(machine, generating).prompt_rows(generating, MOST)
    plain_s = takes(machine, generating, 0)
    assert 1 <= rows <= MOST
    bound_s = max(STRETCH * plain_s, UNFELT_S)
    assert rows == 1 or takes(machine, generating, rows - 1) <= bound_s * 1.01  # parts of rows add up to one


@given(MACHINES, st.integers(1, 16))
def test_no_row_that_would_fit_is_left_out(machine: tuple[float, float, float], generating: int) -> None:
    rows = learned(machine, generating).prompt_rows(generating, MOST)
    plain_s = takes(machine, generating, 0)
    assert rows == MOST or takes(machine, generating, rows + 2) > max(STRETCH * plain_s, UNFELT_S) * 0.99


@given(MACHINES, st.integers(0, 16), st.floats(0.001, 0.1))
def test_where_a_step_has_a_longest_time_it_is_kept(
    machine: tuple[float, float, float], generating: int, longest_s: float
) -> None:
    cost = StepCost(longest_s)
    for _ in range(30):
        cost.learn(generating, 0, takes(machine, generating, 0)) if generating else None
        rows = cost.prompt_rows(generating, MOST)
        cost.learn(generating, rows, takes(machine, generating, rows))
    rows = cost.prompt_rows(generating, MOST)
    assert rows <= 1 or takes(machine, generating, rows - 1) <= longest_s * 1.01 + machine[0]


@given(MACHINES)
def test_where_nobody_waits_a_step_may_be_long_but_not_for_ever(machine: tuple[float, float, float]) -> None:
    rows = learned(machine, 0).prompt_rows(0, MOST)
    assert rows == 1 or takes(machine, 0, rows) <= ALONE_S * 1.01


def test_before_anything_is_known_a_few_rows_are_tried() -> None:
    assert StepCost().prompt_rows(3, MOST) == FIRST_ROWS
    assert StepCost().prompt_rows(3, 5) == 5


def test_one_step_that_was_held_up_changes_little() -> None:
    cost = learned((0.01, 0.001, 0.001), 4)
    before = cost.prompt_rows(4, MOST)
    cost.learn(4, 0, 60.0)
    assert cost.prompt_rows(4, MOST) <= before * 2


def test_a_machine_that_becomes_slower_is_followed() -> None:
    cost = learned((0.0, 0.02, 0.001), 1)
    assert cost.prompt_rows(1, MOST) >= 15
    for _ in range(40):
        cost.learn(1, 10, 0.02 + 10 * 0.01)
    assert cost.prompt_rows(1, MOST) <= 2


def test_what_the_others_take_alone_is_measured_again_while_a_long_prompt_is_read() -> None:
    cost = learned((0.0, 0.005, 0.003), 4)
    rows = []
    for _ in range(400):  # contexts grew: a token takes 8 ms now, a row is what it was
        rows.append(cost.prompt_rows(4, MOST))
        cost.learn(4, rows[-1], takes((0.0, 0.008, 0.003), 4, rows[-1]))
    assert rows.count(0) == pytest.approx(400 / PLAIN_EVERY, abs=2)
    stretch = (0.032 + 0.003 * sum(rows[-100:]) / 97) / 0.032
    assert stretch == pytest.approx(STRETCH, abs=0.1)
