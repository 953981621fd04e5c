"""Faults on purpose: only when asked for, at the rates asked for, the same again with the same seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.errors import BadInput, ModelFileError
from gogrid_desktop.worker.chaos import Chaos, Dice, Rates, parse


def test_the_switch_is_read_as_it_is_written() -> None:
    text = "crash=0.02, hang=0.01,slow=0.05,garbage=0.02,alloc=0.01,seed=7"
    assert parse(text) == Rates(0.02, 0.01, 0.05, 0.02, 0.01, 7)
    assert parse("slow=1") == Rates(slow=1.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("crash", "name=value"),
        ("crsh=0.1", "crash, hang, slow, garbage, alloc, seed"),
        ("crash=0.1,crash=0.2", "each once"),
        ("crash=1.1", "from 0 to 1"),
        ("crash=-0.1", "from 0 to 1"),
        ("crash=nan", "from 0 to 1"),
        ("crash=lots", "from 0 to 1"),
        ("crash=0.6,hang=0.5", "at most 1"),
        ("seed=-1", "a whole number"),
        ("seed=1.5", "a whole number"),
        (f"seed={10**30}", "a whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        parse(text)
    assert "GOGRID_CHAOS" in str(caught.value)


@pytest.mark.parametrize("text", [None, ""])
def test_without_the_switch_nothing_happens(text: str | None) -> None:
    chaos = Chaos(text, life=1)
    for _ in range(1000):
        chaos.before_step()
        chaos.before_load()
        assert chaos.garbage() == b""


def test_a_refused_load_is_an_error_of_the_model_that_says_it_was_on_purpose() -> None:
    with pytest.raises(ModelFileError, match="on purpose"):
        Chaos("alloc=1", life=1).before_load()


rates = st.builds(
    Rates,
    crash=st.floats(0, 0.3),
    hang=st.floats(0, 0.3),
    slow=st.floats(0, 0.3),
    garbage=st.floats(0, 1),
    alloc=st.floats(0, 1),
    seed=st.integers(0, 2**63 - 1),
)


@given(rates, st.integers(1, 2**31))
def test_the_same_seed_in_the_same_life_gives_the_same_faults(rates: Rates, life: int) -> None:
    def faults() -> list[object]:
        dice = Dice(rates, life)
        return [(dice.step(), dice.garbage(), dice.load()) for _ in range(50)]

    assert faults() == faults()


@given(rates)
def test_how_much_is_said_changes_nothing_of_which_steps_fail(rates: Rates) -> None:
    quiet, chatty = Dice(rates, 1), Dice(rates, 1)
    for _ in range(50):
        chatty.garbage()
        assert chatty.step() == quiet.step()


@given(st.integers(0, 1000))
def test_garbage_is_one_line_that_is_never_empty_of_its_end(seed: int) -> None:
    line = Dice(Rates(garbage=1.0, seed=seed), 1).garbage()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


def test_faults_come_at_their_rates_and_one_life_does_not_die_like_the_next() -> None:
    wanted = Rates(crash=0.1, hang=0.05, slow=0.2, seed=3)
    rows = [Dice(wanted, life).step() for life in range(4000)]
    for name, rate in (("crash", 0.1), ("hang", 0.05), ("slow", 0.2)):
        assert rows.count(name) / len(rows) == pytest.approx(rate, abs=0.03)
