"""The demo's submitter: the official `openai` client, unchanged, pointed at the coordinator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httpx
from openai import OpenAI

from gogrid_desktop.core.audit import Answer, Audit, Made, Taken, audit
from gogrid_desktop.protocol.grid import RequestState
from gogrid_desktop.worker.journal import JournalEntry


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client received for one request."""

    request: str
    text: str
    finish_reason: str


class Submitter:
    """Asks one model. `base_url` is the coordinator's, without `/v1`."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self._client = OpenAI(base_url=f"{base_url}/v1", api_key=api_key, max_retries=0, timeout=120.0)
        self._http = httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {api_key}"}, timeout=10.0)
        self.model = self._client.models.list().data[0].id

    def close(self) -> None:
        self._client.close()
        self._http.close()

    def chat(
        self,
        prompt: str,
        max_tokens: int,
        on_text: Callable[[str], None],
        seed: int = 1,
        on_request: Callable[[str], None] = lambda _: None,
    ) -> Reply:
        """Stream one answer: `on_request` gets its id, `on_text` each piece. Raises openai.OpenAIError."""
        raw = self._client.chat.completions.with_raw_response.create(
            model=self.model,
            messages=[{"role": "user", "content": prompt}],
            max_tokens=max_tokens,
            temperature=0.2,
            seed=seed,
            stream=True,
        )
        request = raw.headers["X-GoGrid-Request"]
        on_request(request)
        pieces: list[str] = []
        finish_reason = ""
        for chunk in raw.parse():
            for choice in chunk.choices:
                finish_reason = choice.finish_reason or finish_reason
                if choice.delta.content:
                    pieces.append(choice.delta.content)
                    on_text(choice.delta.content)
        return Reply(request, "".join(pieces), finish_reason)

    def state(self, request: str) -> RequestState:
        """Counts and ledger of a request of ours."""
        answer = self._http.get(f"/grid/v1/requests/{request}")
        answer.raise_for_status()
        return RequestState.model_validate_json(answer.content)


def account_for(states: list[RequestState], replies: list[Reply], journal: list[JournalEntry]) -> Audit:
    """Hold workers' journal, ledger and received texts side by side, position by position."""
    received = {reply.request: len(reply.text.encode()) for reply in replies}
    made = [Made(e.job, e.fence, e.first, e.count) for e in journal if e.count is not None]
    choices = [(state.id, choice) for state in states for choice in state.choices]
    ledger = [
        Taken(c.job, e.fence, e.tokens_before, e.tokens, e.bytes_before, e.bytes) for _, c in choices for e in c.ledger
    ]
    answers = [Answer(c.job, c.have.tokens, c.have.bytes, received.get(request)) for request, c in choices]
    return audit(made, ledger, answers)
