"""A real server on a real port, and nodes over HTTP: from the invite to the last report."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from gogrid_desktop.cli.coordinator import app
from gogrid_desktop.coordinator.lately import KEPT_S
from gogrid_desktop.errors import BadInput

COMMAND = [sys.executable, "-m", "gogrid_desktop", "coordinator"]
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "Say something secret."}], "seed": 1}


def gogrid(*words: str, code: int = 0) -> str:
    """Run a command in a process of its own; its output, or its error where it must fail."""
    wide = {**os.environ, "COLUMNS": "200"}
    ran = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60, env=wide)
    assert ran.returncode == code, ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stdout.strip() if code == 0 else ran.stderr


@dataclass
class Coordinator:
    """A process of `gogrid coordinator serve`."""

    data: Path
    port: int = 0
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        words = ["serve", "--json", "--port", str(self.port), "--data", str(self.data)]
        with (self.data.parent / "log").open("a") as log:
            self.process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log()
        self.port = int(json.loads(line)["url"].rpartition(":")[2])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code

    def log(self) -> str:
        return (self.data.parent / "log").read_text()

    def run(self, *words: str) -> Any:
        """What a command prints with --json, run in this process: it saves a second."""
        with ThreadPoolExecutor(1) as thread:
            ran = thread.submit(CliRunner().invoke, app, [*words, "--json", "--data", str(self.data)]).result()
        assert ran.exit_code == 0, ran.exception
        return json.loads(ran.stdout)


def started(folder: Path) -> Iterator[Coordinator]:
    it = Coordinator(folder / "data")
    model = folder / "tiny.gguf"
    model.write_bytes(b"GGUF" + b"\x01" * 1000)
    it.run("models", "add", str(model))
    it.start()
    yield it
    if it.process is not None:
        it.stop(signal.SIGKILL)


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    """One that a test may stop."""
    yield from started(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    """One for all tests that only talk to it."""
    yield from started(tmp_path_factory.mktemp("shared"))


@pytest.fixture
async def http(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the test's own coordinator, if it has one, otherwise of the shared one."""
    own = "coordinator" if "coordinator" in request.fixturenames else "shared"
    async with httpx.AsyncClient(base_url=request.getfixturevalue(own).url, timeout=40) as client:
        yield client


class Node:
    def __init__(self, http: httpx.AsyncClient, token: str, model: str, **limits: Any) -> None:
        self.http = http
        self.limits = limits
        self.headers = {"Authorization": f"Bearer {token}"}
        self.model = model
        self.polls = 0

    @property
    def poll(self) -> str:
        return f"poll-{self.polls}"

    async def post(self, path: str, body: Any) -> httpx.Response:
        return await self.http.post(f"/grid/v1/{path}", json=body, headers=self.headers)

    async def lease(self, slots: int = 1, wait: float = 0) -> list[dict[str, Any]]:
        self.polls += 1
        call = {"poll": self.poll, "slots": slots, "models_on_disk": [self.model], "context": 4096, **self.limits}
        answer = await self.post(f"leases?wait={wait}", call)
        assert answer.status_code == 200, answer.text
        leases: list[dict[str, Any]] = answer.json()["leases"]
        return leases

    async def report(self, *leases: dict[str, Any], held: tuple[str, ...] = ()) -> httpx.Response:
        return await self.post("reports", {"poll": self.poll, "held": held, "leases": leases})


async def enrol(coordinator: Coordinator, http: httpx.AsyncClient, uses: int = 1) -> list[Node]:
    invite = coordinator.run("invite", "--uses", str(uses))["invite"]
    (model,) = coordinator.run("models", "list")["models"]
    answers = [await http.post("/grid/v1/nodes", json={"invite": invite, "name": f"n{n}"}) for n in range(uses)]
    return [Node(http, answer.json()["node_token"], model["sha256"]) for answer in answers]


def chunk(tokens_before: int, bytes_before: int, text: str) -> dict[str, Any]:
    return {"tokens_before": tokens_before, "bytes_before": bytes_before, "token_ids": [7], "text": text}


def lease_report(lease: dict[str, Any], *chunks: dict[str, Any], end: Any = None) -> dict[str, Any]:
    facts = {"tokens": 5, "hash": "h"}
    return {"lease": lease["id"], "fence": lease["fence"], "prompt": facts, "chunks": chunks, "end": end}


async def ask(coordinator: Coordinator, http: httpx.AsyncClient, key: str = "", **headers: str) -> httpx.Response:
    key = key or coordinator.run("key")["key"]
    return await http.post("/v1/chat/completions", json=CHAT, headers={"Authorization": f"Bearer {key}", **headers})


async def test_a_node_enrols_leases_reports_and_the_submitter_reads(
    coordinator: Coordinator, http: httpx.AsyncClient
) -> None:
    (node,) = await enrol(coordinator, http)
    assert await node.lease() == []
    asking = asyncio.create_task(ask(coordinator, http))
    (lease,) = await node.lease(wait=20)
    assert lease["job"]["messages"][0]["content"] == "Say something secret."
    first = await node.report(lease_report(lease, chunk(0, 0, "very ")), held=(lease["id"],))
    assert first.json()["verdicts"] == [{"lease": lease["id"], "verdict": "renewed", "have": {"tokens": 1, "bytes": 5}}]
    end = {"type": "complete", "tokens": 2, "bytes": 11, "finish_reason": "stop"}
    last = lease_report(lease, chunk(1, 5, "secret"), end=end)
    done = [(await node.report(last)).json() for _ in range(2)]
    assert done[0] == done[1]
    assert done[0]["verdicts"][0]["verdict"] == "done"
    answer = (await asking).json()
    assert answer["choices"][0]["message"]["content"] == "very secret"
    assert answer["usage"]["completion_tokens"] == 2
    (job,) = coordinator.run("jobs", "--ledger")["jobs"]
    assert (job["state"], job["tokens"], [entry["tokens"] for entry in job["ledger"]]) == ("completed", 2, [1, 1])
    (listed,) = coordinator.run("nodes")["nodes"]
    assert listed["name"] == "n0"
    kept = b"".join(file.read_bytes() for file in coordinator.data.iterdir()) + coordinator.log().encode()
    assert b"secret" not in kept


async def test_twenty_polls_at_once_never_get_the_same_job(shared: Coordinator, http: httpx.AsyncClient) -> None:
    nodes = await enrol(shared, http, uses=20)
    assert await nodes[0].lease() == []
    key = shared.run("key")["key"]
    asking = [asyncio.create_task(ask(shared, http, key)) for _ in range(12)]
    seen: list[str] = []

    async def work(node: Node) -> None:
        for lease in await node.lease(slots=2, wait=3):
            seen.append(lease["job"]["id"])
            end = {"type": "complete", "tokens": 1, "bytes": 2, "finish_reason": "stop"}
            answer = await node.report(lease_report(lease, chunk(0, 0, "ok"), end=end))
            assert answer.json()["verdicts"][0]["verdict"] == "done"

    while len(seen) < 12:
        await asyncio.gather(*(work(node) for node in nodes))
    answers = await asyncio.gather(*asking)
    assert [answer.json()["choices"][0]["message"]["content"] for answer in answers] == ["ok"] * 12
    assert len(seen) == len(set(seen)) == 12


async def test_a_killed_coordinator_goes_on_where_it_was(coordinator: Coordinator, http: httpx.AsyncClient) -> None:
    (node,) = await enrol(coordinator, http)
    await node.lease()
    key = coordinator.run("key")["key"]
    asking = asyncio.create_task(ask(coordinator, http, key, **{"Idempotency-Key": "once"}))
    (lease,) = await node.lease(wait=20)
    assert (await node.report(lease_report(lease, chunk(0, 0, "before ")), held=(lease["id"],))).status_code == 200
    coordinator.stop(signal.SIGKILL)
    with pytest.raises(httpx.HTTPError):
        await asking
    coordinator.start()
    again = asyncio.create_task(ask(coordinator, http, key, **{"Idempotency-Key": "once"}))
    end = {"type": "complete", "tokens": 2, "bytes": 12, "finish_reason": "stop"}
    repeated = lease_report(lease, chunk(0, 0, "before "), chunk(1, 7, "after"), end=end)
    verdict = (await node.report(repeated)).json()["verdicts"][0]
    assert verdict == {"lease": lease["id"], "verdict": "done", "have": {"tokens": 2, "bytes": 12}}
    assert (await again).json()["choices"][0]["message"]["content"] == "before after"


async def test_a_stop_closes_long_polls_at_once_and_exits_with_zero(
    coordinator: Coordinator, http: httpx.AsyncClient
) -> None:
    (node,) = await enrol(coordinator, http)
    polling = asyncio.create_task(node.lease(wait=30))
    await asyncio.sleep(0.5)
    began = time.monotonic()
    assert await asyncio.to_thread(coordinator.stop) == 0
    assert await polling == []
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_ends_open_streams_with_an_error_and_exits_with_zero(
    coordinator: Coordinator, http: httpx.AsyncClient, how: signal.Signals
) -> None:
    (node,) = await enrol(coordinator, http)
    await node.lease()
    key = coordinator.run("key")["key"]
    headers = {"Authorization": f"Bearer {key}"}

    async def read() -> str:
        async with http.stream(
            "POST", "/v1/chat/completions", json={**CHAT, "stream": True}, headers=headers
        ) as answer:
            return "".join([line async for line in answer.aiter_lines()])

    reading = asyncio.create_task(read())
    (lease,) = await node.lease(wait=20)
    await node.report(lease_report(lease, chunk(0, 0, "very ")), held=(lease["id"],))
    await asyncio.sleep(0.5)
    began = time.monotonic()
    assert await asyncio.to_thread(coordinator.stop, how) == 0
    text = await reading
    assert time.monotonic() - began < 5
    assert "very " in text
    assert '"error"' in text
    assert "[DONE]" not in text
    assert "Traceback" not in coordinator.log()


@pytest.mark.parametrize("authorization", ["Bearer ggn_wrong", "Bearer", "Basic ggn_wrong", ""])
async def test_a_wrong_token_is_refused_before_the_body_is_read(http: httpx.AsyncClient, authorization: str) -> None:
    answer = await http.post("/grid/v1/reports", content=b"{", headers={"Authorization": authorization})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "auth_rejected")
    assert answer.json()["error"]["remedy"]


async def test_a_removed_node_and_a_revoked_key_do_not_hold_any_more(
    shared: Coordinator, http: httpx.AsyncClient
) -> None:
    (node,) = await enrol(shared, http)
    assert (await node.report()).status_code == 200
    shared.run("nodes", "--remove", shared.run("nodes")["nodes"][-1]["id"])
    await asyncio.sleep(KEPT_S)
    assert (await node.report()).status_code == 401
    key = shared.run("key")
    shared.run("key", "--revoke", key["id"])
    assert (await ask(shared, http, key["key"])).status_code == 401
    expired = shared.run("key", "--expires-h", "0.000001")
    assert (await ask(shared, http, expired["key"])).status_code == 401


async def test_invites_that_are_wrong_used_up_or_expired_are_refused(
    shared: Coordinator, http: httpx.AsyncClient
) -> None:
    await enrol(shared, http)
    used = shared.run("invite")["invite"]
    await http.post("/grid/v1/nodes", json={"invite": used, "name": "first"})
    expired = shared.run("invite", "--expires-h", "0.000001")["invite"]
    for invite, word in ((used, "used up"), (expired, "expired"), ("ggi_guess", "wrong")):
        answer = await http.post("/grid/v1/nodes", json={"invite": invite, "name": "n"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "invite_rejected")
        assert word in answer.json()["error"]["message"]


async def test_an_invite_for_one_lets_one_in_however_many_try_at_once(
    shared: Coordinator, http: httpx.AsyncClient
) -> None:
    body = {"invite": shared.run("invite")["invite"], "name": "n"}
    answers = await asyncio.gather(*(http.post("/grid/v1/nodes", json=body) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[403] * 7]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"poll": 1}',
        b'{"poll": "p", "leases": [{"lease": "x", "fence": -1}]}',
        b'{"poll": "\\ud800"}',
    ],
)
async def test_a_report_that_is_none_is_refused_in_words(
    shared: Coordinator, http: httpx.AsyncClient, body: bytes
) -> None:
    (node,) = await enrol(shared, http)
    headers = {**node.headers, "Content-Type": "application/json"}
    answer = await http.post("/grid/v1/reports", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_input")


async def test_too_many_reports_and_too_large_bodies_are_refused(shared: Coordinator, http: httpx.AsyncClient) -> None:
    (node,) = await enrol(shared, http)
    answers = [await node.report() for _ in range(30)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert float(refused[0].headers["Retry-After"]) > 0
    headers = {**node.headers, "Content-Type": "application/json"}

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 2**20

    for content in (b" " * (17 * 2**20), endless()):
        answer = await http.post("/grid/v1/reports", content=content, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


async def test_a_model_file_is_sent_in_ranges_to_nodes_alone(shared: Coordinator, http: httpx.AsyncClient) -> None:
    (node,) = await enrol(shared, http)
    (model,) = (await http.get("/grid/v1/models", headers=node.headers)).json()["models"]
    assert (model["id"], model["size_bytes"], model["file"]) == ("tiny", 1004, True)
    path = f"/grid/v1/models/{model['sha256']}"
    part = await http.get(path, headers={**node.headers, "Range": "bytes=1000-"})
    assert (part.status_code, part.content) == (206, b"\x01" * 4)
    assert (await http.get(path)).status_code == 401
    assert (await http.get(f"/grid/v1/models/{'0' * 64}", headers=node.headers)).status_code == 404
    assert (await http.get("/grid/v1/models/..%2f..", headers=node.headers)).status_code in (404, 422)


async def test_health_and_readiness_answer(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).status_code == 200
    assert (await http.get("/readyz")).json() == {"status": "ready"}


def test_a_port_in_use_is_said_before_anything_is_touched(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = gogrid("serve", "--port", port, "--data", str(tmp_path / "data"), code=9)
    assert port in said
    assert "--port" in said
    assert not (tmp_path / "data").exists()


def test_a_second_server_of_the_same_folder_is_refused(coordinator: Coordinator) -> None:
    said = gogrid("serve", "--port", "0", "--data", str(coordinator.data), code=1)
    assert "Another coordinator" in said


def test_a_file_that_is_no_model_is_refused_with_exit_code_6(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(b"not a model at all")
    assert "no GGUF" in gogrid("models", "add", str(file), "--data", str(tmp_path / "data"), code=6)


@pytest.mark.parametrize(
    "words",
    [
        ["invite", "--uses", "0"],
        ["key", "--expires-h", "-1"],
        ["key", "--revoke", "x"],
        ["nodes", "--remove", "x"],
        ["invite", "--account", "nobody"],
        ["accounts", "--name", "nobody", "--groups", "family"],
        ["accounts", "--groups", "family"],
        ["accounts", "--name", "nobody"],
        ["models", "add"],
    ],
)
def test_bad_values_name_the_field(tmp_path: Path, words: list[str]) -> None:
    ran = CliRunner().invoke(app, [*words, "--data", str(tmp_path / "data")])
    assert isinstance(ran.exception, BadInput)
    assert "is not allowed" in str(ran.exception)


async def test_an_accounts_own_node_shares_with_its_groups_alone(
    coordinator: Coordinator, http: httpx.AsyncClient
) -> None:
    mine, friend, stranger = (coordinator.run("key", "--name", name)["key"] for name in ("me", "friend", "stranger"))
    coordinator.run("accounts", "--name", "friend", "--groups", "Family,lab")
    listed = {one["name"]: one["groups"] for one in coordinator.run("accounts")["accounts"]}
    assert listed == {"me": [], "friend": ["family", "lab"], "stranger": []}
    body = {"invite": coordinator.run("invite", "--account", "me")["invite"], "name": "n"}
    token = (await http.post("/grid/v1/nodes", json=body)).json()["node_token"]
    (model,) = coordinator.run("models", "list")["models"]
    node = Node(http, token, model["sha256"], share_with="groups", groups=["family"])
    assert await node.lease() == []
    (shown,) = coordinator.run("nodes")["nodes"]
    assert (shown["share_with"], shown["groups"]) == ("groups", ["family"])
    assert "me, family" in gogrid("nodes", "--data", str(coordinator.data))
    refused = await ask(coordinator, http, stranger)
    assert (refused.status_code, "shares with your account" in refused.text) == (503, True)
    asking = [asyncio.create_task(ask(coordinator, http, key)) for key in (friend, mine)]
    leases: list[dict[str, Any]] = []
    for _ in range(4):
        leases += await node.lease(slots=2, wait=5) if len(leases) < 2 else []
    assert len(leases) == 2
    for lease in leases:
        end = {"type": "complete", "tokens": 1, "bytes": 2, "finish_reason": "stop"}
        answer = await node.report(lease_report(lease, chunk(0, 0, "Hi"), end=end), held=(lease["id"],))
        assert [one["verdict"] for one in answer.json()["verdicts"]] == ["done"]
    assert [answer.status_code for answer in await asyncio.gather(*asking)] == [200, 200]


async def test_a_lease_call_with_a_group_that_cannot_be_is_refused_in_words(
    shared: Coordinator, http: httpx.AsyncClient
) -> None:
    (node,) = await enrol(shared, http)
    call = {"poll": "p", "slots": 1, "context": 1, "share_with": "groups", "groups": ["No Group"]}
    answer = await node.post("leases?wait=0", call)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_input")
    assert "groups" in answer.text


def test_texts_sealed_with_another_key_are_said_at_the_start(coordinator: Coordinator) -> None:
    coordinator.stop()
    (coordinator.data / "texts.key").unlink()
    said = gogrid("serve", "--port", "0", "--data", str(coordinator.data), code=1)
    assert "another key" in said
