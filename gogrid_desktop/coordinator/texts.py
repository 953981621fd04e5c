"""What is sealed before it is stored: the body of a request, token ids and text of a chunk."""

from __future__ import annotations

from pydantic import TypeAdapter

from gogrid_desktop.coordinator.crypto import Vault
from gogrid_desktop.coordinator.ports import Submission
from gogrid_desktop.coordinator.store.records import ChunkRecord
from gogrid_desktop.core import lease
from gogrid_desktop.protocol.grid import Chunk, Message, SamplingParams, Wire

_IDS: TypeAdapter[tuple[int, ...]] = TypeAdapter(tuple[int, ...])


class Body(Wire):
    """Messages or prompt of a request, and the parameters of each choice."""

    messages: tuple[Message, ...]
    prompt: str
    params: tuple[SamplingParams, ...]

    @property
    def prompt_bytes(self) -> int:
        return len(self.prompt.encode()) + sum(len(one.model_dump_json().encode()) for one in self.messages)


def body_of(submission: Submission) -> Body:
    return Body(messages=submission.messages, prompt=submission.prompt, params=submission.params)


def seal_body(vault: Vault, body: Body) -> bytes:
    return vault.seal(body.model_dump_json().encode())


def open_body(vault: Vault, sealed: bytes) -> Body:
    return Body.model_validate_json(vault.open(sealed))


def chunk_record(vault: Vault, job: str, node: str, fence: int, chunk: Chunk, size: lease.Chunk) -> ChunkRecord:
    """The ledger's row for a chunk that was taken."""
    ids, text = vault.seal(_IDS.dump_json(chunk.token_ids)), vault.seal(chunk.text.encode())
    return ChunkRecord(job, size.tokens_before, size.bytes_before, fence, node, size.tokens, size.bytes, ids, text)


def open_ids(vault: Vault, chunks: list[ChunkRecord]) -> tuple[int, ...]:
    """All token ids of a job, in order."""
    return tuple(one for chunk in chunks if chunk.token_ids for one in _IDS.validate_json(vault.open(chunk.token_ids)))


def open_text(vault: Vault, chunks: list[ChunkRecord]) -> bytes:
    """The text of these chunks; nothing of what was purged."""
    return b"".join(vault.open(chunk.text) for chunk in chunks if chunk.text)
