"""Calls that may never end: their callers wait only so long, and one thread at most is left behind."""

from __future__ import annotations

import threading

import pytest

from gogrid_desktop.system.bounded import Bounded

PATIENCE_S = 20.0


def own_threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_what_is_asked_again_and_again_is_asked_in_one_thread() -> None:
    bounded = Bounded("asked often", PATIENCE_S)
    assert len({bounded.call(threading.get_ident) for _ in range(20)}) == 1
    assert len(own_threads("asked often")) == 1


def test_what_it_raises_reaches_the_caller_and_the_next_call_is_served() -> None:
    bounded = Bounded("raises", PATIENCE_S)
    with pytest.raises(ZeroDivisionError):
        bounded.call(lambda: 1 / 0)
    assert bounded.call(lambda: 7) == 7


def test_one_that_hangs_is_left_alone_until_it_comes_back() -> None:
    bounded, let_go = Bounded("hangs", 0.01), threading.Event()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            bounded.call(lambda: let_go.wait(PATIENCE_S))
        assert len(own_threads("hangs")) == 1
    let_go.set()
    while True:  # its thread has to notice first
        try:
            assert bounded.call(lambda: 7) == 7
            break
        except TimeoutError:
            continue
    assert len(own_threads("hangs")) == 1


def test_a_thread_that_nobody_asks_ends_and_the_next_call_finds_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gogrid_desktop.system.bounded.KEEP_S", 0.01)
    bounded = Bounded("forgotten", PATIENCE_S)
    for _ in range(3):
        assert bounded.call(lambda: 7) == 7
        for thread in own_threads("forgotten"):
            thread.join(PATIENCE_S)
        assert not own_threads("forgotten")
