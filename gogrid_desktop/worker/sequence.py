"""One job inside the worker: its tokens, how far they are in the KV cache, and what of it was reported.

A resumed job replays its tokens through the text stream, so that text and counters go on exactly where the reports
before it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gogrid_desktop.protocol.grid import Chunk, FinishReason, SamplingParams
from gogrid_desktop.worker.messages import Start
from gogrid_desktop.worker.text import TextStream


class JobSequence:
    """`tokens`: prompt and generated ids; the first `cached` of them are in the KV cache of sequence `slot`.

    `limit`: most tokens it may generate. `piece`: the bytes of a token id. `finish_reason` is set with the last token.
    """

    def __init__(self, start: Start, prompt: Sequence[int], limit: int, piece: Callable[[int], bytes]) -> None:
        job = start.job
        self.lease = start.lease
        self.fence = start.fence
        self.job = job.id
        self.params: SamplingParams = job.params
        self.prompt_tokens = len(prompt)
        self.limit = limit
        self.tokens = [*prompt, *job.token_ids]
        self.cached = 0
        self.slot = -1
        self.finish_reason: FinishReason | None = None
        self._piece = piece
        self._text = TextStream(job.params.stop)
        self._fresh_ids: list[int] = []
        self._fresh_text = ""
        self._tokens_reported = len(job.token_ids)
        self._bytes_reported = job.have.bytes
        self._known_bytes = job.have.bytes  # of the text to come, this much was reported before
        for token in job.token_ids:
            self._add_text(self._text.push(piece(token)))
        self._check_end()

    @property
    def generated(self) -> int:
        """Tokens generated so far, in all leases: also the position of the next one."""
        return len(self.tokens) - self.prompt_tokens

    @property
    def uncached(self) -> int:
        return len(self.tokens) - self.cached

    @property
    def cells(self) -> int:
        """KV cells that it needs at most."""
        return self.prompt_tokens + self.limit

    @property
    def totals(self) -> tuple[int, int]:
        """Tokens and bytes reported so far."""
        return self._tokens_reported, self._bytes_reported

    def accept(self, token: int) -> None:
        """Take the next token of the model."""
        self.tokens.append(token)
        self._fresh_ids.append(token)
        self._add_text(self._text.push(self._piece(token)))
        self._check_end()

    def end_of_generation(self) -> None:
        """The model said that it is done; its end token is no token of the answer."""
        self._finish(FinishReason.STOP)

    def take_chunk(self) -> Chunk | None:
        """What is new since the last call, or None; it counts as reported from now on."""
        if not self._fresh_ids and not self._fresh_text:
            return None
        chunk = Chunk(
            tokens_before=self._tokens_reported,
            bytes_before=self._bytes_reported,
            token_ids=tuple(self._fresh_ids),
            text=self._fresh_text,
        )
        self._tokens_reported += len(self._fresh_ids)
        self._bytes_reported += len(self._fresh_text.encode())
        self._fresh_ids, self._fresh_text = [], ""
        return chunk

    def _check_end(self) -> None:
        if self._text.stopped:
            self.finish_reason = FinishReason.STOP
        elif self.generated >= self.limit:
            self._finish(FinishReason.LENGTH)

    def _finish(self, reason: FinishReason) -> None:
        self._add_text(self._text.finish())
        self.finish_reason = reason

    def _add_text(self, text: str) -> None:
        if not self._known_bytes:
            self._fresh_text += text
            return
        data = text.encode()
        known = min(self._known_bytes, len(data))
        self._known_bytes -= known
        # A lease before this one may have ended inside what is one character now: the rest of it is dropped.
        self._fresh_text += data[known:].decode("utf-8", "ignore")
