"""The agent as a process, and what it says when something is wrong: clear words, the right exit code, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gogrid_desktop.cli.stage import Stage, open_stage
from gogrid_desktop.core.status import AgentState
from gogrid_desktop.ipc import messages as m
from gogrid_desktop.paths import starter_model

NO_KEYRING = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    for name, value in NO_KEYRING.items():
        monkeypatch.setenv(name, value)
    with open_stage() as stage:
        yield stage


def gogrid(stage: Stage, *arguments: str) -> tuple[int, str]:
    """Exit code and what was said on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "gogrid_desktop", *arguments],
        env=os.environ | {"GOGRID_HOME": str(stage.home), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


def invite(stage: Stage) -> str:
    return str(json.loads(stage.gogrid("coordinator", "invite", "--json"))["invite"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_the_agent_loads_neither_qt_nor_llama() -> None:
    program = (
        "import sys, gogrid_desktop.agent.app, gogrid_desktop.cli.app\n"
        "print([name for name in ('PySide6', 'llama_cpp', 'sqlalchemy', 'fastapi', 'openai') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_node_that_joined_nothing_needs_the_person_and_a_second_agent_is_told_so(stage: Stage) -> None:
    stage.start_agent(loaded=False)
    status = stage.until("it listens", lambda now: now.state is AgentState.NEEDS_YOU)
    assert "gogrid join" in status.reason
    code, said = gogrid(stage, "agent", "run")
    assert code == 5
    assert "An agent runs already for this user." in said
    assert stage.tell(m.GetStatus(id=1)).pid == status.pid
    stage.tell(m.Stop(id=1))
    assert stage.process("agent").wait(20) == 0


def test_joining_names_what_is_wrong(stage: Stage) -> None:
    stage.start_coordinator()
    code = invite(stage)
    plaintext = "--allow-plaintext-token"
    assert gogrid(stage, "join", "http://example.org", code, plaintext)[0] == 2
    status, said = gogrid(stage, "join", "grid.example", code, plaintext)
    assert (status, "coordinator = 'grid.example' is not allowed" in said) == (2, True)
    status, said = gogrid(stage, "join", f"http://127.0.0.1:{free_port()}", code, plaintext)
    assert (status, "does not answer" in said) == (7, True)
    status, said = gogrid(stage, "join", stage.url, "ggi_wrong", plaintext)
    assert (status, "invite" in said.lower()) == (8, True)
    status, said = gogrid(stage, "join", stage.url, code)
    assert (status, plaintext in said) == (3, True), said
    assert gogrid(stage, "join", stage.url, code, plaintext) == (0, ""), "a refused keyring must not use the invite up"
    status, said = gogrid(stage, "join", stage.url, code, plaintext)
    assert status == 8
    assert code not in said


def test_a_token_that_holds_no_more_needs_the_person(stage: Stage) -> None:
    stage.start_coordinator()
    stage.gogrid("join", stage.url, invite(stage), "--allow-plaintext-token")
    (node,) = json.loads(stage.gogrid("coordinator", "nodes", "--json"))["nodes"]
    stage.gogrid("coordinator", "nodes", "--remove", node["id"])
    stage.start_agent(loaded=False)
    status = stage.until("it was refused", lambda now: now.state is AgentState.NEEDS_YOU)
    assert "token" in status.reason.lower()


def test_a_coordinator_that_comes_late_is_found(stage: Stage) -> None:
    port = free_port()
    stage.start_coordinator(port)
    stage.gogrid("join", stage.url, invite(stage), "--allow-plaintext-token")
    coordinator = stage.process("coordinator")
    coordinator.send_signal(signal.SIGTERM)
    assert coordinator.wait(20) == 0
    if coordinator.stdout is not None:
        coordinator.stdout.close()
    stage.start_agent(loaded=False)
    status = stage.until("it is offline", lambda now: now.state is AgentState.OFFLINE)
    assert "Finished work is kept." in status.reason
    stage.start_coordinator(port)
    stage.until("it is connected", lambda now: now.connected)


def test_a_broken_settings_file_is_kept_aside_and_told(stage: Stage) -> None:
    (stage.home / "config").mkdir()
    file = stage.home / "config" / "settings.toml"
    file.write_text("role = [broken\n")
    stage.start_agent(loaded=False)
    status = stage.until("it listens", lambda now: now.state is not AgentState.STARTING)
    assert "settings.toml" in status.notice
    kept = [path for path in file.parent.iterdir() if path.name != "settings.toml"]
    assert [path.read_text() for path in kept if "broken" in path.name] == ["role = [broken\n"]


@pytest.mark.model
@pytest.mark.parametrize("damage", ["cut off", "no GGUF"])
def test_a_damaged_model_file_is_told_and_the_agent_lives_on(stage: Stage, tmp_path: Path, damage: str) -> None:
    whole = starter_model()
    assert whole is not None
    file = tmp_path / "damaged.gguf"
    head = whole.read_bytes()[: 2**20]
    file.write_bytes(head if damage == "cut off" else b"GGUF" + b"\0" * 1000)
    stage.start_coordinator(model=file)
    stage.gogrid(
        "settings",
        "set",
        "models.files",
        str(file),
        "role",
        "server",
        "power.pause_on_battery",
        "false",
        "sharing.take_turns",
        "false",
    )
    stage.gogrid("join", stage.url, invite(stage), "--allow-plaintext-token")
    stage.start_agent(loaded=False)
    status = stage.until("it says so", lambda now: now.state is AgentState.NEEDS_YOU)
    assert file.name in status.reason
    stage.tell(m.Stop(id=1))
    assert stage.process("agent").wait(20) == 0


def test_settings_are_changed_by_the_running_agent_and_a_bad_one_changes_nothing(stage: Stage) -> None:
    stage.start_agent(loaded=False)
    stage.until("it listens", lambda now: now.state is AgentState.NEEDS_YOU)
    stage.gogrid("settings", "set", "presence.away_after_s", "300")
    file = stage.home / "config" / "settings.toml"
    before = file.read_text()
    assert "300" in before
    code, said = gogrid(stage, "settings", "set", "presence.away_after_s", "5", "sharing.profile", "balanced")
    assert code == 2
    assert "presence.away_after_s" in said
    assert "5" in said
    assert "10" in said
    assert file.read_text() == before


def test_a_snooze_survives_a_restart_and_ends(stage: Stage) -> None:
    stage.start_agent(loaded=False)
    stage.until("it listens", lambda now: now.state is AgentState.NEEDS_YOU)
    stage.gogrid("snooze", "3s")
    assert stage.tell(m.GetStatus(id=1)).state is AgentState.PAUSED
    agent = stage.process("agent")
    agent.kill()
    agent.wait()
    stage.start_agent(loaded=False)
    stage.until("the snooze ended", lambda now: now.snooze_until is None and now.state is AgentState.NEEDS_YOU)
    assert not (stage.home / "state" / "snooze.json").exists()


def test_a_running_agent_joins_and_a_file_once_allowed_by_name_stays_allowed(stage: Stage) -> None:
    stage.start_coordinator()
    stage.start_agent(loaded=False, plaintext=False)
    stage.until("it listens", lambda now: now.state is AgentState.NEEDS_YOU)
    code, said = gogrid(stage, "join", stage.url, invite(stage))
    assert code != 0
    assert "--allow-plaintext-token" in said
    assert gogrid(stage, "join", stage.url, invite(stage), "--allow-plaintext-token") == (0, "")
    stage.until("it is connected", lambda now: now.connected)
    stage.tell(m.Stop(id=1))
    assert stage.process("agent").wait(20) == 0
    stage.start_agent(loaded=False, plaintext=False)
    stage.until("it is connected again", lambda now: now.connected)
    secrets = json.loads((stage.home / "state" / "secrets.json").read_text())
    assert gogrid(stage, "join", stage.url, invite(stage)) == (0, "")
    after = json.loads((stage.home / "state" / "secrets.json").read_text())
    assert len(after) == len(secrets) == 1, "the token of the membership before is forgotten"
    assert after != secrets
