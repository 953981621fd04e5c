"""The tray's end of the local socket, against a scripted agent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from threading import Thread

import pytest
from fixtures_scripted_agent import SHARING, STATUSES, ScriptedAgent
from pytestqt.qtbot import QtBot

from gogrid_desktop.core.status import AgentState, AgentStatus
from gogrid_desktop.ipc.endpoint import write_endpoint
from gogrid_desktop.ipc.messages import MAX_LINE_BYTES, Reply
from gogrid_desktop.paths import AppPaths
from gogrid_desktop.ui import agent_client
from gogrid_desktop.ui.agent_client import AgentClient
from gogrid_desktop.ui.view import Connection, Link


class Heard:
    """What a client told, in order."""

    def __init__(self, client: AgentClient) -> None:
        self.client = client
        self.statuses: list[AgentStatus] = []
        self.connections: list[Connection] = []
        self.replies: list[Reply] = []
        client.statusChanged.connect(self.statuses.append)
        client.connectionChanged.connect(self.connections.append)
        client.replied.connect(self.replies.append)

    @property
    def link(self) -> Link:
        return self.client.connection.link


@pytest.fixture
def heard(qtbot: QtBot, paths: AppPaths) -> Iterator[Heard]:
    it = Heard(AgentClient(paths.endpoint_file))
    yield it
    it.client.close()


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_it_connects_and_hears_every_change(qtbot: QtBot, paths: AppPaths, heard: Heard, transport: str) -> None:
    agent = ScriptedAgent(paths.endpoint_file, transport=transport)
    try:
        heard.client.start()
        qtbot.waitUntil(lambda: heard.statuses[-1:] == [SHARING])
        for status in STATUSES.values():
            agent.push(status)
            qtbot.waitUntil(lambda wanted=status: heard.statuses[-1:] == [wanted])
        assert heard.link is Link.CONNECTED
    finally:
        agent.close()


def test_commands_are_sent_with_their_values_and_answered(qtbot: QtBot, agent: ScriptedAgent, heard: Heard) -> None:
    heard.client.start()
    qtbot.waitUntil(lambda: heard.link is Link.CONNECTED)
    assert heard.client.pause(for_s=3600)
    assert heard.client.pause()
    assert heard.client.resume()
    assert heard.client.stop()
    qtbot.waitUntil(lambda: len(heard.replies) == 4)
    sent = [agent.commands.get_nowait() for _ in range(4)]
    assert [(command["type"], command.get("for_s")) for command in sent] == [
        ("pause", 3600.0),
        ("pause", None),
        ("resume", None),
        ("stop", None),
    ]
    assert [reply.id for reply in heard.replies] == [command["id"] for command in sent]


def test_a_refused_command_is_told_with_the_agents_words(qtbot: QtBot, agent: ScriptedAgent, heard: Heard) -> None:
    agent.refusal = "Not while updating."
    heard.client.start()
    qtbot.waitUntil(lambda: heard.link is Link.CONNECTED)
    heard.client.pause()
    qtbot.waitUntil(lambda: len(heard.replies) == 1)
    assert (heard.replies[0].ok, heard.replies[0].message) == (False, "Not while updating.")


def test_without_an_agent_it_goes_on_trying_and_sends_nothing(qtbot: QtBot, paths: AppPaths, heard: Heard) -> None:
    heard.client.start()
    assert not heard.client.pause()
    qtbot.waitUntil(lambda: heard.client.connection.failures >= 2)
    agent = ScriptedAgent(paths.endpoint_file)
    try:
        qtbot.waitUntil(lambda: heard.link is Link.CONNECTED)
        assert heard.client.connection.failures == 0
    finally:
        agent.close()


def test_a_restarted_agent_with_a_new_address_and_token_is_found(
    qtbot: QtBot, paths: AppPaths, agent: ScriptedAgent, heard: Heard
) -> None:
    heard.client.start()
    qtbot.waitUntil(lambda: heard.link is Link.CONNECTED)
    second = ScriptedAgent(paths.endpoint_file, STATUSES[AgentState.IDLE])
    try:
        agent.hang_up()
        qtbot.waitUntil(lambda: heard.statuses[-1:] == [STATUSES[AgentState.IDLE]])
        assert second.hellos == 1
    finally:
        second.close()


def test_the_address_of_a_dead_agent_counts_as_none(qtbot: QtBot, paths: AppPaths, heard: Heard) -> None:
    dead = ScriptedAgent(paths.endpoint_file)
    dead.close()
    heard.client.start()
    assert heard.client.connection == Connection(Link.SEARCHING, 1)


def test_an_agent_of_another_protocol_version_is_not_spoken_to(
    qtbot: QtBot, paths: AppPaths, agent: ScriptedAgent, heard: Heard
) -> None:
    write_endpoint(paths.endpoint_file, replace(agent.endpoint, version=agent.endpoint.version + 1))
    heard.client.start()
    assert heard.link is Link.REFUSED
    assert "another version" in heard.client.connection.problem
    assert agent.hellos == 0


def test_an_agent_that_refuses_our_version_is_quoted(qtbot: QtBot, agent: ScriptedAgent, heard: Heard) -> None:
    agent.hello_refusal = "The agent speaks version 9."
    heard.client.start()
    qtbot.waitUntil(lambda: heard.link is Link.REFUSED)
    assert heard.client.connection.problem == "The agent speaks version 9."
    assert heard.statuses == []


def test_a_wrong_token_is_an_agent_to_look_for_anew(
    qtbot: QtBot, paths: AppPaths, agent: ScriptedAgent, heard: Heard
) -> None:
    write_endpoint(paths.endpoint_file, replace(agent.endpoint, token="old"))
    heard.client.start()
    qtbot.waitUntil(lambda: heard.client.connection.failures == 1)
    assert heard.link is Link.SEARCHING
    write_endpoint(paths.endpoint_file, agent.endpoint)
    qtbot.waitUntil(lambda: heard.link is Link.CONNECTED)


@pytest.mark.parametrize(
    "line", [b"{}\n", b"\xff\n", b'{"type": "push", "status": {"later": 1}}\n', b"x" * (MAX_LINE_BYTES + 2)]
)
def test_what_it_cannot_understand_ends_the_line_and_says_why(
    qtbot: QtBot, agent: ScriptedAgent, heard: Heard, line: bytes
) -> None:
    heard.client.start()
    qtbot.waitUntil(lambda: heard.link is Link.CONNECTED)
    sender = Thread(target=agent.send, args=(line,))  # the long line fits into no socket buffer
    sender.start()
    qtbot.waitUntil(lambda: any(connection.link is Link.REFUSED for connection in heard.connections))
    sender.join()


def test_a_line_in_pieces_is_put_together(qtbot: QtBot, agent: ScriptedAgent, heard: Heard) -> None:
    heard.client.start()
    qtbot.waitUntil(lambda: heard.statuses[-1:] == [SHARING])
    agent.send(b'{"type":"push","status":{"version":"9",')
    agent.send(b'"pid":7}}\n{"type":"push","status":{"version":"9","pid":8}}\n')
    qtbot.waitUntil(lambda: [status.pid for status in heard.statuses[-2:]] == [7, 8])


@pytest.mark.parametrize("greeted", [False, True])
def test_an_agent_that_falls_silent_is_not_believed_any_longer(
    qtbot: QtBot, agent: ScriptedAgent, heard: Heard, greeted: bool
) -> None:
    heard.client._alive.setInterval(50)
    agent.mute = not greeted
    heard.client.start()
    if greeted:
        qtbot.waitUntil(lambda: heard.link is Link.CONNECTED)
        agent.mute = True
    qtbot.waitUntil(lambda: heard.client.connection.problem == "the agent does not answer")
    assert heard.link is Link.SEARCHING


def test_an_agent_that_answers_is_asked_again_and_again_and_kept(
    qtbot: QtBot, agent: ScriptedAgent, heard: Heard
) -> None:
    heard.client._alive.setInterval(30)
    heard.client.start()
    qtbot.waitUntil(lambda: len(heard.statuses) >= 8)
    assert [connection.link for connection in heard.connections] == [Link.CONNECTED]


def test_the_pauses_between_attempts_grow_and_stay_bounded(qtbot: QtBot, paths: AppPaths, heard: Heard) -> None:
    pauses_ms = []
    for _ in range(8):
        heard.client._connect()
        pauses_ms.append(heard.client._retry.interval())
    assert pauses_ms == [250, 500, 1000, 2000, 4000, 4000, 4000, agent_client.LAST_RETRY_MS]
