"""A loaded model with all that runs in it: turns a job into tokens, checks it, and hands it to the batcher."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np

from gogrid_desktop.protocol.grid import JobKind
from gogrid_desktop.worker import messages as w
from gogrid_desktop.worker.batcher import AnyJob, Batcher
from gogrid_desktop.worker.embedding import EmbeddingSequence
from gogrid_desktop.worker.engine import Decoded, Span
from gogrid_desktop.worker.journal import Journal
from gogrid_desktop.worker.llama_engine import LlamaEngine
from gogrid_desktop.worker.prompt import Prompter, PromptRejected, prompt_hash
from gogrid_desktop.worker.sampling import Incompatible, SamplingRejected
from gogrid_desktop.worker.sequence import JobSequence


class LoadedModel:
    """`send` is given the frames about jobs that were not taken, and of those that were how long their prompt is."""

    def __init__(
        self, sha256: str, engine: LlamaEngine, batcher: Batcher, send: Callable[[w.Frame], None], journal: Journal
    ) -> None:
        self.sha256 = sha256
        self.engine = engine
        self.batcher = batcher
        self._send = send
        self._journal = journal
        self._prompter = Prompter(engine, engine.template, engine.special_texts())
        self._arrivals = count()

    def take(self, start: w.Start) -> bool:
        """Submit a job; False when it was refused, which has been said."""
        job, lease = start.job, start.lease
        try:
            prompt = self._prompter.prompt(job)
            digest = prompt_hash(prompt)
            if job.prompt_hash not in (None, digest):
                raise Incompatible("This model turns the prompt into other tokens than the node that began the job.")
            limit = min(job.params.max_tokens, self.engine.context - len(prompt))
            sequence: AnyJob
            if job.kind is JobKind.EMBEDDING:
                sequence = EmbeddingSequence(start, prompt, next(self._arrivals))
            else:
                engine = self.engine
                sequence = JobSequence(start, prompt, limit, engine.piece, engine.sampling, next(self._arrivals))
        except PromptRejected as error:
            self._send(
                w.JobRejected(
                    lease=lease,
                    code=error.code,
                    param=error.param,
                    message=error.message,
                    needs_context=error.needs_context,
                )
            )
            return False
        except SamplingRejected as error:
            self._send(w.JobRejected(lease=lease, code=error.code, param=error.param, message=error.message))
            return False
        except Incompatible as error:
            self._send(w.JobFailed(lease=lease, message=str(error), incompatible=True))
            return False
        self._send(w.Prompted(lease=lease, tokens=len(prompt), hash=digest))
        self._journal.started(job.id, lease, start.fence, len(job.token_ids))
        self.batcher.submit(sequence)
        return True

    def probe(self) -> str:
        """Make one real token, and forget it; returns what went wrong, "" for nothing. Only while no job is here."""
        token = max(0, self.engine.bos)
        span = Span(self.batcher.spare_slot(), 0, np.array([token], dtype=np.int32), True)
        outcome = self.engine.embed(span)[0] if self.engine.pools else self.engine.decode([span])
        healthy = outcome is Decoded.DONE and (self.engine.pools or bool(np.isfinite(self.engine.logits(0).max())))
        self.engine.forget(span.slot, 0)
        return "" if healthy else f"a step with one token was {outcome.value}"

    def close(self) -> None:
        """Give all memory back; its jobs are gone already."""
        self.engine.close()
