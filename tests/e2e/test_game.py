"""A game takes the GPU and gives it back; two agents take turns. The driver's library is our stand-in."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from desktop import desktop
from fixtures_stage import real_grid
from test_whole_desktop import session

from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.rules.gpu import GAME_HOLD_S
from gogrid_desktop.core.status import AgentState, AgentStatus
from gogrid_desktop.ipc import messages as m

__all__ = ["desktop", "session"]

pytestmark = [
    pytest.mark.desktop,
    pytest.mark.model,
    pytest.mark.skipif(sys.platform != "linux", reason="an X desktop, and the library's name there"),
]
GIB = 2**30


class Card:
    """One GPU of 8 GiB, as the stand-in for the driver's library tells it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.used_by()

    def used_by(self, pid: int = 0, gib: int = 0, percent: int = 0) -> None:
        process = f" {pid}:{gib * GIB}:{percent}" if pid else ""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{8 * GIB} {(1 + gib) * GIB} 1 0 gpu={percent} temp=55 slow=93{process}\n")
        fresh.replace(self._file)


@pytest.fixture
def card(library_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Card:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library_folder))
    monkeypatch.setenv("FAKE_NVML_FILE", str(tmp_path / "card"))
    return Card(tmp_path / "card")


@pytest.fixture
def game() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "600"])
    yield process.pid
    process.terminate()
    process.wait()


def test_a_game_gets_gpu_and_memory_at_once_and_the_answer_is_finished_afterwards(
    session: object, card: Card, game: int
) -> None:
    with real_grid() as grid, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(grid.ask, 0, 600)
        assert grid.running.acquire(timeout=120)
        worker = psutil.Process(grid.worker_pid())

        card.used_by(game, gib=6, percent=80)
        paused = grid.stage.until("the game is seen", lambda now: now.state is AgentState.PAUSED, timeout_s=10)
        assert (paused.reason, paused.reasons[0].rule) == ("sleep uses 80% of the GPU", "game")
        assert paused.what_next == "Sharing again 1 min after sleep lets go of the GPU"
        worker.wait(timeout=5)
        gone = grid.stage.until("memory is back", lambda now: now.yielding.memory.count == 1, timeout_s=5)
        assert (gone.jobs_running, gone.workers) == (0, ())
        assert gone.yielding.count >= 1
        assert not answer.done()

        card.used_by()
        held = grid.stage.until("its end is seen", lambda now: "held" in now.reason, timeout_s=10)
        assert held.what_next.startswith("Sharing again in ")
        profiles = [held.profile]

        def shares(now: AgentStatus) -> bool:
            profiles.append(now.profile)
            return now.jobs_running == 1

        grid.stage.until("it shares again", shares, timeout_s=GAME_HOLD_S + 60)
        reply = answer.result(timeout=240)
        grid.check([reply])
        assert len(grid.resumed()) == 1
        assert all(after - before <= 1 for before, after in pairwise(profiles))


def test_a_driver_that_hangs_is_said_and_what_is_there_again_counts_again(
    session: object, card: Card, tmp_path: Path
) -> None:
    with real_grid("role", "server") as grid:
        assert grid.stage.tell(m.GetStatus(id=1)).profile > Profile.PAUSED
        (tmp_path / "card").write_text("hang\n")
        lost = grid.stage.until("it is said", lambda now: now.state is AgentState.PAUSED, timeout_s=20)
        assert lost.reason == "the GPU is lost: The GPU driver does not answer."
        assert "The GPU driver does not answer." in lost.signals
        card.used_by()
        grid.stage.until("it shares again", lambda now: now.profile > Profile.PAUSED, timeout_s=60)


def test_two_agents_on_one_machine_take_turns(session: object) -> None:
    with real_grid("role", "server") as one, real_grid("role", "server") as two:
        grids = (one, two)
        for grid in grids:
            grid.stage.tell(m.PutSettings(id=1, values={"sharing.take_turns": True}))
        time.sleep(1)

        def both() -> tuple[AgentStatus, AgentStatus]:
            first, second = (grid.stage.tell(m.GetStatus(id=1)) for grid in grids)
            assert Profile.PAUSED in (first.profile, second.profile), "both share"
            return first, second

        def until_shares(number: int) -> AgentStatus:
            deadline = time.monotonic() + 60
            while (now := both())[number].profile is Profile.PAUSED:
                assert time.monotonic() < deadline, now[number].reason
                time.sleep(0.2)
            return now[1 - number]

        for grid in grids:
            grid.stage.tell(m.Pause(id=1))
        two.stage.tell(m.Resume(id=1))
        until_shares(1)
        one.stage.tell(m.Resume(id=1))
        for _ in range(20):
            waiting, _ = both()
            assert waiting.profile is Profile.PAUSED
            time.sleep(0.2)
        assert "shares this computer already" in waiting.reason
        two.stage.tell(m.Pause(id=1))
        assert "you switched sharing off" in until_shares(0).reason
        two.stage.tell(m.Resume(id=1))
        for _ in range(20):
            _, waiting = both()
            assert waiting.profile is Profile.PAUSED
            time.sleep(0.2)
        one.stage.process("agent").kill()
        deadline = time.monotonic() + 60
        while two.stage.tell(m.GetStatus(id=1)).profile is Profile.PAUSED:
            assert time.monotonic() < deadline
            time.sleep(0.2)
