"""The OpenAI face on a real server over a desk in memory, read by the official client and by readers that break off."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Annotated, Any

import httpx
import openai
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field, ValidationError

from gogrid_desktop.coordinator.ports import (
    Account,
    ChoiceView,
    Closing,
    IdempotencyConflict,
    JobError,
    JobState,
    RequestView,
    Submission,
    Unservable,
)
from gogrid_desktop.coordinator.routes import openai as openai_routes
from gogrid_desktop.coordinator.routes import requests as requests_routes
from gogrid_desktop.errors import StorageFull
from gogrid_desktop.protocol.grid import CatalogueModel, FinishReason, LedgerEntry

TICK_S = 0.15
MODEL = CatalogueModel(sha256="a" * 64, id="lab/tiny", size_bytes=1, context=2048, created=7)
HELLO: Any = [{"role": "user", "content": "hello"}]
BODY = {"model": MODEL.id, "messages": HELLO}
WORDS = ["Grüße ", "aus ", "der 🦙", "-Welt\u2028", "."]
TEXT = "".join(WORDS)


@dataclass
class Held:
    """A request as the desk in memory holds it."""

    submission: Submission
    choices: list[ChoiceView]


class WatchInMemory:
    def __init__(self, desk: DeskInMemory) -> None:
        self._desk = desk
        self._bell = asyncio.Event()
        self._bell.set()  # something may have happened since it was looked at
        desk.watches.add(self)

    def ring(self) -> None:
        self._bell.set()

    async def changed(self, timeout_s: float) -> bool:
        try:
            await asyncio.wait_for(self._bell.wait(), timeout_s)
        except TimeoutError:
            return False
        if self._desk.stopping:
            raise Closing
        self._bell.clear()
        return True

    def close(self) -> None:
        self._desk.watches.remove(self)


@dataclass(eq=False)
class DeskInMemory:
    """`on_submit` is called with each new request's id, and plays the grid."""

    held: dict[str, Held] = field(default_factory=dict)
    keys: dict[tuple[str, str], str] = field(default_factory=dict)
    watches: set[WatchInMemory] = field(default_factory=set)
    touched: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    on_submit: Callable[[str], None] = lambda request: None
    refusal: Exception | None = None
    broken: bool = False
    stopping: bool = False

    async def account(self, api_key: str) -> Account | None:
        return Account(id=api_key.removeprefix("ggk_"), key_id="k") if api_key in ("ggk_ann", "ggk_bob") else None

    async def models(self) -> tuple[CatalogueModel, ...]:
        return (MODEL,)

    async def submit(self, submission: Submission) -> RequestView:
        if self.refusal:
            raise self.refusal
        if submission.idempotency_key is not None:
            known = self.keys.setdefault((submission.account, submission.idempotency_key), submission.id)
            if known != submission.id:
                if self.held[known].submission.body_hash != submission.body_hash:
                    raise IdempotencyConflict
                return self._shown(known)
        self.held[submission.id] = Held(
            submission,
            [
                ChoiceView(i, f"job-{i}", JobState.QUEUED, "", 0, 0, 0, 11, None, None)
                for i in range(len(submission.params))
            ],
        )
        self.on_submit(submission.id)
        return self._shown(submission.id)

    def watch(self, request: str, *, ends: bool = False) -> WatchInMemory:
        return WatchInMemory(self)

    async def view(self, request: str, account: str, *, ledger: bool = False) -> RequestView | None:
        held = self.held.get(request)
        return self._shown(request, ledger=ledger) if held and held.submission.account == account else None

    async def look(self, view: RequestView, after: tuple[int, ...]) -> RequestView:
        return self._shown(view.id, after)

    def _shown(self, request: str, after: tuple[int, ...] = (), *, ledger: bool = False) -> RequestView:
        if self.broken:
            raise RuntimeError("the database is gone")
        held = self.held[request]
        shown = []
        for choice in held.choices:
            at = after[choice.index] if after else 0
            entry = LedgerEntry(
                node="n", fence=1, tokens_before=0, tokens=choice.tokens, bytes_before=0, bytes=choice.bytes
            )
            rest = choice.text.encode()[at:].decode()
            shown.append(replace(choice, text=rest, text_from=at, ledger=(entry,) if ledger else ()))
        return RequestView(request, held.submission.kind, held.submission.model, 1234.5, tuple(shown))

    async def touch_reader(self, request: str) -> None:
        self.touched.append(request)

    async def cancel(self, request: str) -> None:
        self.cancelled.append(request)
        for choice in self.held[request].choices:
            if not choice.state.ended:
                self.change(request, choice.index, state=JobState.CANCELLED)

    def change(self, request: str, index: int = 0, **fields: Any) -> None:
        choices = self.held[request].choices
        choices[index] = replace(choices[index], **fields)
        for watch in list(self.watches):
            watch.ring()

    def stop(self) -> None:
        self.stopping = True
        for watch in list(self.watches):
            watch.ring()

    def say(self, request: str, text: str, index: int = 0) -> None:
        choice = self.held[request].choices[index]
        whole = choice.text + text
        self.change(
            request, index, state=JobState.LEASED, text=whole, bytes=len(whole.encode()), tokens=choice.tokens + 1
        )

    def finish(self, request: str, index: int = 0) -> None:
        self.change(request, index, state=JobState.COMPLETED, finish_reason=FinishReason.STOP)

    @property
    def newest(self) -> str:
        return list(self.held)[-1]


@dataclass(frozen=True, slots=True)
class Grid:
    desk: DeskInMemory
    port: int
    client: openai.AsyncOpenAI
    http: httpx.AsyncClient

    def play(self, words: list[str] = WORDS, *, then: Callable[[str], None] | None = None) -> None:
        """Answer every request with `words`, a little apart, and `then` instead of finishing."""

        async def answer(request: str) -> None:
            for word in words:
                for index in range(len(self.desk.held[request].choices)):
                    self.desk.say(request, word, index)
                await asyncio.sleep(0.01)
            for index in range(len(self.desk.held[request].choices)):
                if then is None:
                    self.desk.finish(request, index)
            if then is not None:
                then(request)

        tasks: set[asyncio.Task[None]] = set()

        def on_submit(request: str) -> None:
            tasks.add(asyncio.create_task(answer(request)))

        self.desk.on_submit = on_submit


@pytest.fixture
async def grid() -> AsyncIterator[Grid]:
    desk = DeskInMemory()
    app = FastAPI()
    app.include_router(openai_routes.router(desk, tick_s=TICK_S))
    app.include_router(requests_routes.router(desk, tick_s=TICK_S))
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=2)
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    client = openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="ggk_ann", max_retries=0, timeout=20)
    http = httpx.AsyncClient(base_url=base, headers={"Authorization": "Bearer ggk_ann"}, timeout=20)
    try:
        yield Grid(desk, port, client, http)
    finally:
        await client.close()
        await http.aclose()
        server.should_exit = True
        await serving
    assert not desk.watches


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.01)


@dataclass(slots=True)
class Read:
    """What a raw reader saw of a stream."""

    ids: list[str] = field(default_factory=list)
    chunks: list[Any] = field(default_factory=list)
    comments: int = 0
    done: bool = False

    def text(self, index: int = 0) -> str:
        found = [one for chunk in self.chunks for one in chunk.get("choices", ()) if one["index"] == index]
        return "".join(one["delta"].get("content", "") if "delta" in one else one["text"] for one in found)

    @property
    def error(self) -> Any:
        return self.chunks[-1].get("error")


async def read(response: httpx.Response, *, events: int = 10**9) -> Read:
    """Read at most so many events of the stream, event by event as the HTML standard has it."""
    seen = Read()
    buffer = b""
    async for part in response.aiter_bytes():
        buffer += part
        while b"\n\n" in buffer:
            event, buffer = buffer.split(b"\n\n", 1)
            fields = [line.split(": ", 1) for line in event.decode().split("\n")]
            seen.comments += sum(name == "" for name, _ in fields)
            lines = dict(fields)
            seen.done |= lines.get("data") == "[DONE]"
            seen.ids += [lines["id"]] if "id" in lines else []
            if "data" in lines and lines["data"] != "[DONE]":
                seen.chunks.append(json.loads(lines["data"]))
            if len(seen.ids) >= events:
                return seen
    return seen


async def test_a_chat_is_answered_whole_with_true_usage(grid: Grid) -> None:
    grid.play()
    answer = await grid.client.chat.completions.with_raw_response.create(model=MODEL.id, messages=HELLO, n=2)
    parsed = answer.parse()
    assert [(c.index, c.message.content, c.finish_reason) for c in parsed.choices] == [
        (0, TEXT, "stop"),
        (1, TEXT, "stop"),
    ]
    assert parsed.usage is not None
    assert (parsed.usage.prompt_tokens, parsed.usage.completion_tokens, parsed.usage.total_tokens) == (11, 10, 21)
    assert (parsed.model, parsed.created, parsed.object) == (MODEL.id, 1234, "chat.completion")
    assert answer.headers["x-gogrid-request"] == parsed.id == grid.desk.newest


async def test_a_chat_streams_role_text_end_and_usage(grid: Grid) -> None:
    grid.play()
    stream = await grid.client.chat.completions.create(
        model=MODEL.id, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == TEXT
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == len(WORDS)
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}


async def test_the_choices_of_a_stream_stay_apart(grid: Grid) -> None:
    grid.play()
    stream = await grid.client.chat.completions.create(model=MODEL.id, messages=HELLO, stream=True, n=3)
    texts = ["", "", ""]
    async for chunk in stream:
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == [TEXT] * 3


async def test_a_completion_is_answered_whole_and_streamed(grid: Grid) -> None:
    grid.play()
    whole = await grid.client.completions.create(model=MODEL.id, prompt="once")
    assert (whole.choices[0].text, whole.choices[0].finish_reason, whole.object) == (TEXT, "stop", "text_completion")
    stream = await grid.client.completions.create(model=MODEL.id, prompt="once", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == TEXT


async def test_models_are_listed_and_shown(grid: Grid) -> None:
    assert [model.id async for model in grid.client.models.list()] == [MODEL.id]
    assert (await grid.client.models.retrieve(MODEL.id)).created == MODEL.created
    with pytest.raises(openai.NotFoundError, match=MODEL.id) as caught:
        await grid.client.chat.completions.create(model="gpt-9", messages=HELLO)
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_api_key"),
        ({"Authorization": "Basic x"}, "missing_api_key"),
        ({"Authorization": "Bearer no"}, "invalid_api_key"),
    ],
)
@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/x", "/v1/nothing", "/grid/v1/requests/x", "/grid/v1/requests/x/stream"]
)
async def test_no_call_is_answered_without_a_good_key(
    grid: Grid, path: str, headers: dict[str, str], code: str
) -> None:
    async with httpx.AsyncClient(base_url=grid.http.base_url) as stranger:
        answer = await stranger.get(path, headers=headers)
        post = await stranger.post("/v1/chat/completions", json=BODY, headers=headers)
    for one in (answer, post):
        assert (one.status_code, one.json()["error"]["code"]) == (401, code)
        assert one.headers["x-gogrid-request"].startswith("req-")


async def test_bad_input_reaches_the_client_as_a_bad_request(grid: Grid) -> None:
    with pytest.raises(openai.BadRequestError, match="max_tokens = -1 is not allowed") as caught:
        await grid.client.chat.completions.create(model=MODEL.id, messages=HELLO, max_tokens=-1)
    assert (caught.value.param, caught.value.type) == ("max_tokens", "invalid_request_error")
    assert caught.value.response.headers["x-gogrid-request"]
    assert not grid.desk.held


class Mood(StrEnum):
    GLAD = "glad"
    SAD = "sad"


class Pet(BaseModel):
    name: str
    age: int | None
    born: date
    moods: Annotated[list[Mood], Field(min_length=1, max_length=2)]


class Owner(BaseModel):
    """As a person would write it for the official client."""

    name: Annotated[str, Field(description="first and last")]
    years: Annotated[int, Field(ge=0, le=120)]
    pets: list[Pet]
    address: dict[str, str] | None = None


async def test_the_official_client_sends_a_class_as_a_schema(grid: Grid) -> None:
    grid.play()
    with pytest.raises(ValidationError, match="Invalid JSON"):  # the grid in memory answers with a plain text
        await grid.client.chat.completions.parse(
            model=MODEL.id,
            messages=HELLO,
            frequency_penalty=0.5,
            logit_bias={"17": -100},
            response_format=Owner,
        )
    (params,) = grid.desk.held[grid.desk.newest].submission.params
    assert (params.frequency_penalty, params.logit_bias) == (0.5, {17: -100})
    assert params.json_schema is not None
    assert list(json.loads(params.json_schema)["properties"]) == ["name", "years", "pets", "address"]


async def test_calls_that_are_not_offered_are_a_404_that_lists_those_that_are(grid: Grid) -> None:
    with pytest.raises(openai.NotFoundError, match="POST /v1/embeddings is not offered"):
        await grid.client.embeddings.create(model=MODEL.id, input="x")


@pytest.mark.parametrize("broken_after", range(1, 8))
async def test_a_broken_stream_goes_on_with_the_exact_rest(grid: Grid, broken_after: int) -> None:
    grid.play()
    async with grid.http.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as response:
        first = await read(response, events=broken_after)
        request = response.headers["x-gogrid-request"]
    path = f"/grid/v1/requests/{request}/stream"
    async with grid.http.stream("GET", path, headers={"Last-Event-ID": first.ids[-1]}) as response:
        rest = await read(response)
        assert response.headers["x-gogrid-request"] == request
    assert first.text() + rest.text() == TEXT
    assert rest.done
    assert rest.ids[-1] == str(len(TEXT.encode()))
    assert rest.chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert not any("usage" in chunk for chunk in first.chunks + rest.chunks)
    assert {chunk["model"] for chunk in rest.chunks} == {MODEL.id}
    assert not grid.desk.cancelled
    assert len(grid.desk.held) == 1


async def test_a_resumed_stream_without_an_event_id_starts_anew_and_tells_the_usage_when_asked(grid: Grid) -> None:
    grid.play()
    answer = await grid.client.completions.create(model=MODEL.id, prompt="once", n=2)
    path = f"/grid/v1/requests/{answer.id}/stream?include_usage=true"
    async with grid.http.stream("GET", path) as response:
        seen = await read(response)
    assert seen.text(0) == seen.text(1) == TEXT
    assert seen.chunks[-1]["usage"]["completion_tokens"] == 10


async def test_a_bad_event_id_is_a_400_and_text_gone_a_410(grid: Grid) -> None:
    grid.play()
    answer = await grid.client.chat.completions.create(model=MODEL.id, messages=HELLO)
    path = f"/grid/v1/requests/{answer.id}/stream"
    for event_id in ("3", "999", "0,0", "x"):  # 3 is inside of ü
        refused = await grid.http.get(path, headers={"Last-Event-ID": event_id})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "Last-Event-ID")
    assert (await grid.http.get(f"{path}?include_usage=perhaps")).json()["error"]["param"] == "include_usage"
    grid.desk.change(answer.id, text="")
    gone = await grid.http.get(path, headers={"Last-Event-ID": "2"})
    assert (gone.status_code, gone.headers["x-should-retry"]) == (410, "false")
    assert "no longer kept" in gone.json()["error"]["message"]


async def test_the_same_post_with_the_same_key_is_the_same_request(grid: Grid) -> None:
    grid.play()
    key = {"Idempotency-Key": "k1"}
    streamed = {**BODY, "stream": True}
    async with grid.http.stream("POST", "/v1/chat/completions", json=streamed, headers=key) as response:
        first = await read(response, events=3)
    headers = {**key, "Last-Event-ID": first.ids[-1]}
    async with grid.http.stream("POST", "/v1/chat/completions", json=streamed, headers=headers) as response:
        rest = await read(response)
    async with grid.http.stream("POST", "/v1/chat/completions", json=streamed, headers=key) as response:
        whole = await read(response)
        assert response.headers["x-gogrid-request"] == grid.desk.newest
    assert first.text() + rest.text() == whole.text() == TEXT
    assert len(grid.desk.held) == 1
    other = await grid.http.post("/v1/chat/completions", json={**streamed, "n": 2}, headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_conflict")
    bob = await grid.http.post("/v1/chat/completions", json=BODY, headers={**key, "Authorization": "Bearer ggk_bob"})
    assert bob.status_code == 200
    assert len(grid.desk.held) == 2


async def test_a_request_shows_its_counts_and_ledger_but_no_text(grid: Grid) -> None:
    grid.play()
    answer = await grid.client.chat.completions.create(model=MODEL.id, messages=HELLO)
    state = (await grid.http.get(f"/grid/v1/requests/{answer.id}")).json()
    (choice,) = state["choices"]
    assert (choice["state"], choice["have"]) == ("completed", {"tokens": 5, "bytes": len(TEXT.encode())})
    assert choice["ledger"][0]["tokens"] == 5
    assert "aus" not in json.dumps(state)


async def test_a_request_is_nobody_elses(grid: Grid) -> None:
    grid.play()
    answer = await grid.client.chat.completions.create(model=MODEL.id, messages=HELLO)
    bob = {"Authorization": "Bearer ggk_bob"}
    for method, path in (("GET", ""), ("GET", "/stream"), ("DELETE", "")):
        refused = await grid.http.request(method, f"/grid/v1/requests/{answer.id}{path}", headers=bob)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "request_not_found")
    assert not grid.desk.cancelled


async def test_a_cancelled_request_ends_its_stream_with_an_error(grid: Grid) -> None:
    stream = asyncio.create_task(grid.http.post("/v1/chat/completions", json={**BODY, "stream": True}))
    await until(lambda: grid.desk.held)
    grid.desk.say(grid.desk.newest, "Once")
    await until(lambda: grid.desk.watches)
    state = (await grid.http.delete(f"/grid/v1/requests/{grid.desk.newest}")).json()
    assert state["choices"][0]["state"] == "cancelled"
    body = (await stream).text
    assert '"code": "request_cancelled"'.replace(" ", "") in body
    assert "[DONE]" not in body


async def test_a_failure_after_text_is_raised_by_the_client(grid: Grid) -> None:
    error = JobError(500, "poisoned", "The job failed on two nodes.")
    grid.play(then=lambda request: grid.desk.change(request, state=JobState.FAILED, error=error))
    stream = await grid.client.chat.completions.create(model=MODEL.id, messages=HELLO, stream=True)
    text = ""
    with pytest.raises(openai.APIError, match="failed on two nodes") as caught:
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
    assert (text, caught.value.code) == (TEXT, "poisoned")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_before_any_text_has_its_own_status(grid: Grid, stream: bool) -> None:
    error = JobError(400, "context_length_exceeded", "The prompt is longer than the context.", "messages")
    grid.play([], then=lambda request: grid.desk.change(request, state=JobState.FAILED, error=error))
    with pytest.raises(openai.BadRequestError, match="longer than the context") as caught:
        await grid.client.chat.completions.create(model=MODEL.id, messages=HELLO, stream=stream)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")


async def test_a_choice_that_fails_cancels_the_others(grid: Grid) -> None:
    grid.play(then=lambda request: grid.desk.change(request, 1, state=JobState.FAILED))
    with pytest.raises(openai.InternalServerError) as caught:
        await grid.client.chat.completions.create(model=MODEL.id, messages=HELLO, n=3)
    assert caught.value.code == "job_failed"
    assert grid.desk.cancelled == [grid.desk.newest]


async def test_a_passed_deadline_is_a_504_that_the_client_does_not_repeat(grid: Grid) -> None:
    grid.play([], then=lambda request: grid.desk.change(request, state=JobState.EXPIRED))
    patient = grid.client.with_options(max_retries=2)
    with pytest.raises(openai.InternalServerError, match="deadline") as caught:
        await patient.chat.completions.create(model=MODEL.id, messages=HELLO, extra_headers={"X-GoGrid-Deadline": "5"})
    assert caught.value.status_code == 504
    assert len(grid.desk.held) == 1
    assert grid.desk.held[grid.desk.newest].submission.deadline_s == 5


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Unservable("No node with this model is known.", 7), "No node with this model is known. Try again later."),
        (StorageFull("The disk is full.", "Try again later."), "The disk is full. Try again later."),
    ],
)
async def test_what_cannot_be_served_now_is_a_503_with_a_time_and_the_reason(
    grid: Grid, refusal: Exception, words: str
) -> None:
    grid.desk.refusal = refusal
    with pytest.raises(openai.InternalServerError) as caught:
        await grid.client.chat.completions.create(model=MODEL.id, messages=HELLO)
    assert caught.value.status_code == 503
    assert int(caught.value.response.headers["retry-after"]) > 0
    assert "x-should-retry" not in caught.value.response.headers
    assert words in caught.value.message


async def test_a_silent_stream_opens_after_two_ticks_and_says_that_it_lives(grid: Grid) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with grid.http.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as response:
        opened_s = loop.time() - start
        assert opened_s >= 2 * TICK_S
        assert response.headers["content-type"].startswith("text/event-stream")
        touched = len(grid.desk.touched)
        assert touched >= 3
        await until(lambda: len(grid.desk.touched) >= touched + 2)
        grid.desk.say(grid.desk.newest, "late")
        grid.desk.finish(grid.desk.newest)
        seen = await read(response)
    assert seen.comments >= 3
    assert (seen.text(), seen.done) == ("late", True)
    assert seen.chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}


async def test_the_official_client_reads_over_the_comments_of_a_silent_stream(grid: Grid) -> None:
    stream = await grid.client.chat.completions.create(model=MODEL.id, messages=HELLO, stream=True)
    for word in ("la", "te"):
        touched = len(grid.desk.touched)
        await until(lambda before=touched: len(grid.desk.touched) >= before + 2)
        grid.desk.say(grid.desk.newest, word)
    grid.desk.finish(grid.desk.newest)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "late"


@pytest.mark.parametrize(("headers", "cancels"), [({}, True), ({"Idempotency-Key": "k"}, False)])
async def test_leaving_a_whole_answer_cancels_it_unless_it_has_a_key(
    grid: Grid, headers: dict[str, str], cancels: bool
) -> None:
    waiting = asyncio.create_task(grid.http.post("/v1/chat/completions", json=BODY, headers=headers))
    await until(lambda: grid.desk.watches)
    waiting.cancel()
    await until(lambda: not grid.desk.watches)
    await asyncio.sleep(0.05)
    assert grid.desk.cancelled == ([grid.desk.newest] if cancels else [])


@pytest.mark.parametrize("text", ["", "some text"])
async def test_leaving_a_stream_ends_the_reading_and_cancels_nothing(grid: Grid, text: str) -> None:
    async def leave_soon() -> None:
        async with grid.http.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as response:
            await read(response)

    reading = asyncio.create_task(leave_soon())
    await until(lambda: grid.desk.watches)
    grid.desk.say(grid.desk.newest, text)
    await asyncio.sleep(0.05)
    reading.cancel()
    await until(lambda: not grid.desk.watches)
    touched = len(grid.desk.touched)
    await asyncio.sleep(3 * TICK_S)
    assert len(grid.desk.touched) == touched
    assert not grid.desk.cancelled


async def test_a_reader_that_does_not_read_holds_up_nobody(grid: Grid) -> None:
    grid.play(["x" * 2_000_000] * 8)
    body = json.dumps({**BODY, "stream": True}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ggk_ann\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", grid.port, limit=1024)
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await until(lambda: grid.desk.held)
    stuck = grid.desk.newest
    await until(lambda: grid.desk.held[stuck].choices[0].state is JobState.COMPLETED)
    grid.play()
    for _ in range(3):
        answer = await grid.client.chat.completions.create(model=MODEL.id, messages=HELLO)
        assert answer.choices[0].message.content == TEXT
    assert len(grid.desk.watches) == 1  # the stuck reader is still there, and alone
    writer.close()
    await until(lambda: not grid.desk.watches)


async def test_a_coordinator_that_stops_ends_answers_at_once_and_says_how_to_go_on(grid: Grid) -> None:
    whole = asyncio.create_task(grid.http.post("/v1/chat/completions", json=BODY))
    await until(lambda: grid.desk.watches)
    grid.desk.on_submit = lambda request: grid.desk.say(request, "Once")
    async with grid.http.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as response:
        grid.desk.stop()
        seen = await read(response)
        request = response.headers["x-gogrid-request"]
    assert (seen.text(), seen.error["code"], seen.done) == ("Once", "coordinator_stopping", False)
    assert f"/grid/v1/requests/{request}/stream" in seen.error["message"]
    assert ((await whole).status_code, (await whole).headers["retry-after"]) == (503, "2")
    assert not grid.desk.cancelled


async def test_a_failing_desk_ends_a_stream_with_an_error_and_a_line_in_the_log(
    grid: Grid, caplog: pytest.LogCaptureFixture
) -> None:
    async with grid.http.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as response:
        grid.desk.broken = True
        seen = await read(response)
    assert seen.error["code"] == "internal_error"
    assert not seen.done
    refused = await grid.http.post("/v1/chat/completions", json=BODY)
    assert (refused.status_code, refused.json()["error"]["code"]) == (500, "internal_error")
    failures = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(failures) == 2
    assert all(record.exc_info and "hello" not in record.getMessage() for record in failures)
