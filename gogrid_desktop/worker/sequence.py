"""One job inside the worker: its tokens, how far they are in the KV cache, and what of it was reported.

A resumed job replays its tokens through the text stream, so that text and counters go on exactly where the reports
before it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gogrid_desktop.protocol.grid import FinishReason, Job, Priority, TokenLogprobs
from gogrid_desktop.worker.engine import Floats, Tokens
from gogrid_desktop.worker.messages import Emission, Start
from gogrid_desktop.worker.sampling import Sampler, Vocabulary
from gogrid_desktop.worker.text import TextStream

_RANK = {priority: rank for rank, priority in enumerate(Priority)}

#: Priority, deadline, arrival: the smaller goes first.
Order = tuple[int, float, int]


def order_of(job: Job, arrival: int) -> Order:
    return _RANK[job.priority], job.deadline, arrival


class JobSequence:
    """One job in the batcher.

    `tokens`: prompt and generated ids, shape (n,); the first `cached` of them are in the KV cache of sequence `slot`.
    `limit`: most tokens it may generate. `piece`: the bytes of a token id. `finish_reason` is set with the last token.
    `order`: who goes first. `reused`: how many tokens its first step found in the cache. `company`: the jobs whose
    prompts were still read when it began to generate. Raises SamplingRejected, and Incompatible when its tokens cannot
    be replayed; `close` it.
    """

    def __init__(
        self,
        start: Start,
        prompt: Sequence[int],
        limit: int,
        piece: Callable[[int], bytes],
        vocabulary: Vocabulary,
        arrival: int = 0,
    ) -> None:
        job = start.job
        self.lease = start.lease
        self.fence = start.fence
        self.job = job.id
        self.salt = job.prefix_salt
        self.order = order_of(job, arrival)
        self.prompt_tokens = len(prompt)
        self.limit = limit
        self.cached = 0
        self.reused: int | None = None
        self.company: list[JobSequence] | None = None
        self.slot = -1
        self.started = False
        self.finish_reason: FinishReason | None = None
        self._buffer = np.empty(len(prompt) + max(limit, len(job.token_ids)), dtype=np.int32)
        self._length = len(prompt) + len(job.token_ids)
        self._buffer[: self._length] = [*prompt, *job.token_ids]
        self._piece = piece
        self._text = TextStream(job.params.stop)
        self._fresh_ids: list[int] = []
        self._fresh_text = ""
        self._fresh_logprobs: list[TokenLogprobs] | None = None if job.params.logprobs is None else []
        self._tokens_reported = len(job.token_ids)
        self._bytes_reported = job.have.bytes
        self._known_bytes = job.have.bytes  # of the text to come, this much was reported before
        self._sampler = Sampler(job.params, prompt, vocabulary)
        try:
            for token in job.token_ids:
                self._sampler.accept(token)
                self._add_text(self._text.push(piece(token)))
        except BaseException:
            self.close()
            raise
        self._check_end()

    @property
    def tokens(self) -> Tokens:
        return self._buffer[: self._length]

    @property
    def generated(self) -> int:
        """Tokens generated so far, in all leases: also the position of the next one."""
        return self._length - self.prompt_tokens

    @property
    def uncached(self) -> int:
        return self._length - self.cached

    @property
    def reads(self) -> bool:
        """Whether its prompt is still being read."""
        return self.uncached > 1 and self.slot >= 0

    def reads_before(self, other: JobSequence) -> bool:
        """Whether its prompt is being read, and the other one matters no more."""
        return self.reads and self.order[0] <= other.order[0]

    @property
    def in_company(self) -> bool:
        """Whether prompts that were there before it began are still read: it does not hold them up."""
        self.company = [job for job in self.company or () if job.reads]
        return bool(self.company)

    @property
    def cells(self) -> int:
        """KV cells that it needs at most."""
        return self.prompt_tokens + self.limit

    @property
    def totals(self) -> tuple[int, int]:
        """Tokens and bytes reported so far."""
        return self._tokens_reported, self._bytes_reported

    def advance(self, logits: Floats) -> None:
        """Draw the next token. Raises BadLogits, and SamplingRejected when a grammar takes too long."""
        drawn = self._sampler.draw(logits, self.generated)
        if drawn.end:
            self._finish(FinishReason.STOP)  # an end token is no token of the answer
            return
        self._sampler.accept(drawn.token)
        self._buffer[self._length] = drawn.token
        self._length += 1
        self._fresh_ids.append(drawn.token)
        if self._fresh_logprobs is not None and drawn.logprob is not None:
            self._fresh_logprobs.append((drawn.logprob, drawn.top))
        self._add_text(self._text.push(self._piece(drawn.token)))
        self._check_end()

    def close(self) -> None:
        """Give back what the grammar holds."""
        self._sampler.close()

    def restart(self) -> None:
        """Its place in the cache was taken: it is read from the beginning again."""
        self.cached, self.slot = 0, -1

    def take_emission(self) -> Emission | None:
        """What is new since the last call, or None; it counts as reported from now on."""
        if not self._fresh_ids and not self._fresh_text:
            return None
        emission = Emission(
            self.lease,
            self._tokens_reported,
            self._bytes_reported,
            self._fresh_ids,
            self._fresh_text,
            self._fresh_logprobs,
        )
        self._tokens_reported += len(self._fresh_ids)
        self._bytes_reported += len(self._fresh_text.encode())
        self._fresh_ids, self._fresh_text = [], ""
        if self._fresh_logprobs is not None:
            self._fresh_logprobs = []
        return emission

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
