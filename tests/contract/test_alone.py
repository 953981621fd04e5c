"""One agent at a time shares: between processes, between users, and after a kill."""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gogrid_desktop.system.alone import Turn
from gogrid_desktop.system.alone.shared_file import FileTurn

HOLD = """
import os, sys
from pathlib import Path
from gogrid_desktop.system.alone.{module} import {kind}
turn = {kind}({argument})
if sys.argv[1:]:
    os.setuid(int(sys.argv[1]))  # the files of a checkout may be this user's alone
print(turn.take() or "mine", flush=True)
sys.stdin.read()
"""


class Means:
    """A turn of this process, and the same in another one."""

    def __init__(self, kind: str, module: str, argument: str, make: Callable[[], Turn]) -> None:
        self.make = make
        self._code = HOLD.format(kind=kind, module=module, argument=argument)

    @contextlib.contextmanager
    def elsewhere(self, user: int | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
        process = subprocess.Popen(
            [sys.executable, "-c", self._code, *([] if user is None else [str(user)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()
            process.communicate()


@pytest.fixture(params=["socket", "file"])
def means(request: pytest.FixtureRequest, tmp_path: Path) -> Means:
    if request.param == "file":
        return Means("FileTurn", "shared_file", f"Path({str(tmp_path)!r})", lambda: FileTurn(tmp_path))
    if sys.platform != "linux":
        pytest.skip("abstract addresses are Linux's")
    from gogrid_desktop.system.alone.linux import SocketTurn

    address = f"\0gogrid-test-{uuid.uuid4().hex}"
    return Means("SocketTurn", "linux", repr(address), lambda: SocketTurn(address))


def test_who_has_it_keeps_it_until_they_let_go(means: Means) -> None:
    mine = means.make()
    assert mine.take() == mine.take() == ""
    with means.elsewhere() as (_, said):
        assert said.startswith("the agent of ")
    mine.let_go()
    with means.elsewhere() as (_, said):
        assert said == "mine"
        assert mine.take().startswith("the agent of ")
    assert mine.take() == ""
    mine.let_go()
    mine.let_go()


def test_a_kill_frees_it(means: Means) -> None:
    mine = means.make()
    with means.elsewhere() as (process, said):
        assert said == "mine"
        assert mine.take() != ""
        process.kill()
        process.wait()
        assert mine.take() == ""
    mine.let_go()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can be two users")
def test_two_users_share_one_turn_and_are_told_apart(means: Means) -> None:
    if "SocketTurn" not in means._code:
        pytest.skip("pytest's folder is this user's alone")
    with means.elsewhere(user=65534) as (process, said):
        assert said == "mine"
        assert means.make().take() == f"the agent of nobody (pid {process.pid})"
    mine = means.make()
    assert mine.take() == ""
    with means.elsewhere(user=65534) as (_, said):
        assert said == f"the agent of {getpass.getuser()} (pid {os.getpid()})"
    mine.let_go()


def test_a_folder_that_cannot_be_locked_is_said(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert "cannot be locked" in FileTurn(file).take()
