"""What the end of a worker means, what it may see, and that its end is noticed at once (real processes)."""

from __future__ import annotations

import asyncio
import signal
import sys
import textwrap

import pytest

from gogrid_desktop.agent.supervisor import Death, Supervisor, cause_of_death, worker_environment
from gogrid_desktop.worker import messages as w


@pytest.mark.parametrize(
    ("returncode", "asked", "hung", "expected"),
    [
        (0, True, False, Death.ASKED),
        (-9, True, False, Death.ASKED),
        (-9, False, False, Death.OUTSIDE),
        (-15, False, False, Death.OUTSIDE),
        (-signal.SIGSEGV, False, False, Death.FAULT),
        (-signal.SIGABRT, False, False, Death.FAULT),
        (1, False, False, Death.FAULT),
        (0, False, False, Death.FAULT),
        (-9, True, True, Death.FAULT),
    ],
)
def test_a_death_is_told_apart(returncode: int, asked: bool, hung: bool, expected: Death) -> None:
    assert cause_of_death(returncode, asked=asked, hung=hung) is expected


def test_the_worker_sees_nothing_that_it_does_not_need() -> None:
    seen = worker_environment(
        {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0", "OPENAI_API_KEY": "x", "GOGRID_HOME": "/h", "SSH_AUTH_SOCK": "/s"}
    )
    assert seen == {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0", "GGML_NO_BACKTRACE": "1"}


def worker(body: str) -> tuple[str, ...]:
    return (sys.executable, "-c", textwrap.dedent(body))


async def deaths_of(command: tuple[str, ...]) -> tuple[Death, list[w.Event], Supervisor]:
    events: list[w.Event] = []
    supervisor = Supervisor(events.append, command)
    async with asyncio.timeout(20):
        return await supervisor.run_once(), events, supervisor


async def test_frames_are_handed_on_and_a_crash_is_a_fault() -> None:
    death, events, supervisor = await deaths_of(
        worker(
            """
            import os, signal, sys
            print('{"type":"hello","version":"1","pid":1}', flush=True)
            print("the reason", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
            """
        )
    )
    assert death is Death.FAULT
    assert events == [w.Hello(version="1", pid=1)]
    assert supervisor.pid is None


@pytest.mark.parametrize("line", ["'no json'", '\'{"type":"unheard-of"}\'', "'x' * (17 * 2**20)"])
async def test_a_worker_that_breaks_the_protocol_is_ended_as_a_fault(line: str) -> None:
    death, events, _ = await deaths_of(worker(f"import time; print({line}, flush=True); time.sleep(60)"))
    assert death is Death.FAULT
    assert events == []


async def test_a_kill_of_ours_is_no_fault() -> None:
    supervisor = Supervisor(
        lambda event: supervisor.kill(),
        worker(
            """
        import time
        print('{"type":"hello","version":"1","pid":1}', flush=True)
        time.sleep(60)
        """
        ),
    )
    async with asyncio.timeout(20):
        assert await supervisor.run_once() is Death.ASKED


async def test_a_program_that_is_not_there_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError):
        await Supervisor(lambda event: None, ("/nowhere/worker",)).run_once()


def test_nothing_can_be_sent_to_a_worker_that_is_not_there() -> None:
    assert not Supervisor(lambda event: None).send(w.Ping(seq=1))
