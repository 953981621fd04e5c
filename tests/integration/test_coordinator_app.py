"""The application in this process: what it answers when its disk, its key or its tasks fail, and when it stops."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gogrid_desktop.coordinator import auth
from gogrid_desktop.coordinator.app import create_app
from gogrid_desktop.coordinator.ports import Closing
from gogrid_desktop.coordinator.settings import CoordinatorSettings
from gogrid_desktop.coordinator.store.memory import MemoryStore
from gogrid_desktop.coordinator.store.port import Ahead, Tx
from gogrid_desktop.coordinator.store.records import ModelRecord
from gogrid_desktop.errors import GoGridError, StorageFull
from gogrid_desktop.protocol.grid import Invite, Priority

MODEL = ModelRecord("a" * 64, "tiny", 4, 2048, 1, "/none", False)


class FullStore(MemoryStore):
    """A store whose disk is full when a test says so."""

    full = False

    async def write(self, work: Callable[[Tx], Any], *ahead: Ahead) -> Any:
        if self.full:
            raise StorageFull("The coordinator's disk is full; nothing was changed.", "Free some space.")
        return await super().write(work, *ahead)


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://grid") as client:
            yield client


async def newcomers(store: MemoryStore) -> tuple[dict[str, str], dict[str, str]]:
    """The headers of a node that serves the model, and of a submitter."""

    def work(tx: Tx) -> tuple[str, str]:
        code = auth.make_invite(tx, 1, 60.0, 0.0)
        token = auth.enrol(tx, Invite(invite=code, name="n"), 1.0).node_token
        tx.put(MODEL)
        return token, auth.make_key(tx, "me", Priority.HIGH, None, 0.0)[1]

    token, key = await store.write(work)
    return {"Authorization": f"Bearer {token}"}, {"Authorization": f"Bearer {key}"}


CALL = {"poll": "p", "slots": 1, "models_on_disk": [MODEL.sha256], "context": 2048}
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}


async def test_a_full_disk_is_507_for_nodes_and_503_for_submitters(tmp_path: Path) -> None:
    store = FullStore()
    async with running(create_app(CoordinatorSettings(data=tmp_path), store)) as http:
        node, submitter = await newcomers(store)
        assert (await http.post("/grid/v1/leases?wait=0", json=CALL, headers=node)).status_code == 200
        store.full = True
        report = {"poll": "p", "leases": [{"lease": "x.0.1", "fence": 1}]}
        answer = await http.post("/grid/v1/reports", json=report, headers=node)
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "storage_full")
        answer = await http.post("/v1/chat/completions", json=CHAT, headers=submitter)
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers
        store.full = False
        assert (await http.post("/grid/v1/reports", json=report, headers=node)).status_code == 200


async def test_readiness_ends_when_no_sweep_succeeds(tmp_path: Path) -> None:
    now = [1000.0]
    app = create_app(CoordinatorSettings(data=tmp_path, clock=lambda: now[0]), MemoryStore())
    async with running(app) as http:
        assert (await http.get("/readyz")).status_code == 200
        now[0] += 7.0
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/healthz")).status_code == 200


async def test_a_task_that_dies_is_told_to_whoever_runs_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, told = MemoryStore(), asyncio.get_running_loop().create_future()
    app = create_app(CoordinatorSettings(data=tmp_path), store, told.set_result)
    async with running(app):

        async def broken(*_: object) -> None:
            raise RuntimeError("the store is gone")

        monkeypatch.setattr(store, "write", broken)
        assert isinstance(await asyncio.wait_for(told, 5), RuntimeError)


async def test_a_stop_ends_readers_at_once(tmp_path: Path) -> None:
    app = create_app(CoordinatorSettings(data=tmp_path), MemoryStore())
    async with running(app):
        watch = app.state.desk.watch("req")
        waiting = asyncio.create_task(watch.changed(60.0))
        await asyncio.sleep(0)
        app.state.close()
        with pytest.raises(Closing):
            await waiting
        with pytest.raises(Closing):
            await app.state.desk.watch("late").changed(60.0)


async def test_another_key_ends_the_start(tmp_path: Path) -> None:
    store = MemoryStore()
    async with running(create_app(CoordinatorSettings(data=tmp_path / "one"), store)):
        tables = dict(store._tables)
    store._tables = tables
    with pytest.raises(GoGridError, match="another key"):
        async with running(create_app(CoordinatorSettings(data=tmp_path / "two"), store)):
            pass


async def test_a_refusal_never_repeats_what_was_sent(tmp_path: Path) -> None:
    store = MemoryStore()
    async with running(create_app(CoordinatorSettings(data=tmp_path), store)) as http:
        node, _ = await newcomers(store)
        report = {"poll": "p", "leases": [{"lease": "l", "fence": 1, "chunks": [{"text": "my secret", "x": "secret"}]}]}
        answer = await http.post("/grid/v1/reports", json=report, headers=node)
        assert answer.status_code == 422
        assert "secret" not in json.dumps(answer.json())
        assert "leases.0.chunks.0" in answer.json()["error"]["message"]
