"""What the OpenAI face needs of the grid behind it: the one seam between HTTP for submitters and the jobs.

The face turns HTTP into a `Submission` and `RequestView`s back into HTTP; the desk stores, schedules and wakes readers.
All times are seconds since the epoch by the database's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gogrid_desktop.core.lease import JobError as JobError
from gogrid_desktop.core.lease import JobState as JobState
from gogrid_desktop.protocol.grid import (
    CatalogueModel,
    FinishReason,
    JobKind,
    LedgerEntry,
    Message,
    Priority,
    SamplingParams,
)


@dataclass(frozen=True, slots=True)
class Account:
    """Who a key belongs to. `max_priority` caps what the key may ask for."""

    id: str
    key_id: str
    max_priority: Priority = Priority.HIGH


@dataclass(frozen=True, slots=True)
class Submission:
    """One request; `params` has one entry for each choice. `body_hash` identifies the body under an idempotency key."""

    id: str
    account: str
    kind: JobKind
    model: str  # sha256
    messages: tuple[Message, ...]
    prompt: str
    params: tuple[SamplingParams, ...]
    priority: Priority
    deadline_s: float
    rendered_at: float
    idempotency_key: str | None = None
    body_hash: str = ""


@dataclass(frozen=True, slots=True)
class ChoiceView:
    """One choice as it stands. `text` follows the asked byte offset (`text_from`); `bytes` is the whole length."""

    index: int
    job: str
    state: JobState
    text: str
    text_from: int
    tokens: int
    bytes: int
    prompt_tokens: int | None
    finish_reason: FinishReason | None
    error: JobError | None
    ledger: tuple[LedgerEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestView:
    id: str
    kind: JobKind
    model: str
    created: float
    choices: tuple[ChoiceView, ...]

    @property
    def ended(self) -> bool:
        return all(choice.state.ended for choice in self.choices)


class Unservable(Exception):
    """No known node can serve the request now; `reason` is a sentence, `retry_after_s` a guess."""

    def __init__(self, reason: str, retry_after_s: int = 30) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class IdempotencyConflict(Exception):
    """The idempotency key was used with another body."""


class Closing(Exception):
    """The coordinator stops: end the answer now, with an error; it can be resumed later."""


class Watch(Protocol):
    """Wakes when a request may have changed; spurious wake-ups are allowed, missed ones are not."""

    async def changed(self, timeout_s: float) -> bool:
        """True if something may have changed since the last call (or the start), False after `timeout_s`.

        Raises Closing.
        """
        ...

    def close(self) -> None: ...


class Desk(Protocol):
    """The grid as the OpenAI face sees it. A view's text may be gone (purged) 10 min after the request's end."""

    async def account(self, api_key: str) -> Account | None: ...

    async def models(self) -> tuple[CatalogueModel, ...]: ...

    async def submit(self, submission: Submission) -> RequestView:
        """Queue it and return how it stands: another one's where the idempotency key repeats an equal body.

        Raises Unservable, IdempotencyConflict, errors.StorageError.
        """
        ...

    def watch(self, request: str, *, ends: bool = False) -> Watch:
        """Wakes for what changed since it was looked at, a moment ago. `ends`: if one of its choices may have ended."""
        ...

    async def view(self, request: str, account: str, *, ledger: bool = False) -> RequestView | None:
        """The request as committed, with all its text. None if it is not this account's."""
        ...

    async def look(self, view: RequestView, after: tuple[int, ...]) -> RequestView:
        """The same request as it is now, text from byte `after[i]` of choice i on."""
        ...

    async def touch_reader(self, request: str) -> None:
        """A reader is there (called every 5 s while one is)."""
        ...

    async def cancel(self, request: str) -> None: ...
