"""The grid as the OpenAI face sees it: `ports.Desk` over the store."""

from __future__ import annotations

from dataclasses import replace

from gogrid_desktop.coordinator import auth
from gogrid_desktop.coordinator.bell import BellWatch
from gogrid_desktop.coordinator.books import Kept, keep
from gogrid_desktop.coordinator.grid import Grid
from gogrid_desktop.coordinator.lately import Lately
from gogrid_desktop.coordinator.matching import expected_s
from gogrid_desktop.coordinator.ports import (
    Account,
    ChoiceView,
    IdempotencyConflict,
    RequestView,
    Submission,
    Unservable,
)
from gogrid_desktop.coordinator.store.port import Ahead, Tx
from gogrid_desktop.coordinator.store.records import (
    AccountRecord,
    ApiKeyRecord,
    ChunkRecord,
    JobRecord,
    ModelRecord,
    RequestRecord,
)
from gogrid_desktop.coordinator.texts import body_of, open_text, seal_body
from gogrid_desktop.core.lease import MAX_DRY_TOKENS, Job, JobError, cancel
from gogrid_desktop.core.sharing import accounts_served
from gogrid_desktop.protocol.grid import CatalogueModel, LedgerEntry, ShareWith, work_of


class GridDesk:
    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._accounts: Lately[str, Account | None] = Lately()
        self._models: Lately[None, tuple[CatalogueModel, ...]] = Lately()

    async def account(self, api_key: str) -> Account | None:
        now, key = self._grid.now(), auth.hashed(api_key)

        async def ask() -> Account | None:
            ahead = Ahead(ApiKeyRecord, "hash", (key,))
            return await self._grid.store.read(lambda tx: auth.account_of(tx, key, now), ahead)

        return await self._accounts.get(key, ask)

    async def models(self) -> tuple[CatalogueModel, ...]:
        async def ask() -> tuple[CatalogueModel, ...]:
            return catalogue(await self._grid.store.read(lambda tx: tx.find(ModelRecord)))

        return await self._models.get(None, ask)

    async def submit(self, submission: Submission) -> RequestView:
        grid, now = self._grid, self._grid.now()
        cost_s = expected_s(one.max_tokens for one in submission.params)

        def work(tx: Tx) -> RequestView:
            return self._repeated(tx, submission) or self._queue(tx, submission, order_at, now)

        if why := await self._unserved(submission, now):
            # A repeat of an answered request needs no node.
            earlier = await grid.store.read(lambda tx: self._repeated(tx, submission))
            if earlier is None:
                raise Unservable(why)
            return earlier
        order_at = grid.fairness.place(submission.account, submission.priority, submission.deadline_s, cost_s, now)
        queued = False
        try:
            view = await grid.store.write(work)
            queued = view.id == submission.id
        finally:
            if not queued:  # a repeat takes nobody's time
                grid.fairness.give_back(submission.account, cost_s)
        grid.committed(work=queued)
        return view

    def watch(self, request: str, *, ends: bool = False) -> BellWatch:
        return self._grid.bells.watch(request, ends=ends)

    async def view(self, request: str, account: str, *, ledger: bool = False) -> RequestView | None:
        def work(tx: Tx) -> RequestView | None:
            found = tx.one(RequestRecord, id=request, account=account)
            return None if found is None else self._view(tx, found, ledger)

        return await self._grid.store.read(work)

    async def look(self, view: RequestView, after: tuple[int, ...]) -> RequestView:
        jobs = [choice.job for choice in view.choices]

        def work(tx: Tx) -> RequestView:
            records = sorted(tx.find(JobRecord, id=jobs), key=lambda record: record.position)
            choices = tuple(self._choice(tx, record, after[record.position]) for record in records)
            return replace(view, choices=choices)

        whole = () if any(after) else (Ahead(ChunkRecord, "job", jobs),)
        return await self._grid.store.read(work, Ahead(JobRecord, "id", jobs), *whole)

    async def touch_reader(self, request: str) -> None:
        self._grid.presence.read(request, self._grid.now())

    async def cancel(self, request: str) -> None:
        now = self._grid.now()

        def work(tx: Tx) -> Kept:
            jobs = [record for record in tx.find(JobRecord, request=request) if not record.state.ended]
            return keep(tx, (replace(record, job=cancel(record.job)) for record in jobs), now)

        self._grid.committed(await self._grid.store.write(work, Ahead(RequestRecord, "id", (request,))))

    async def _unserved(self, submission: Submission, now: float) -> str:
        """Why no node that is known would take this request, in a sentence; "" if one would."""
        presence, minutes = self._grid.presence, round(self._grid.settings.node_known_s / 60)
        seen = f"was seen in the last {minutes} minutes"
        nodes = presence.serving(submission.model, submission.kind, submission.priority, now)
        if not nodes:
            if not any(submission.model in node.models for node in presence.known(now)):
                return f"No machine that serves this model {seen}."
            work = work_of(submission.kind, submission.priority)
            return f"No machine that serves this model and takes {work} work {seen}."
        if any(node.share_with is ShareWith.EVERYONE for node in nodes):
            return ""
        account = await self._grid.store.read(lambda tx: tx.one(AccountRecord, id=submission.account))
        groups_of = {} if account is None else {account.id: account.groups}
        served = (accounts_served(node.share_with, node.account, node.groups, groups_of) for node in nodes)
        if any(accounts is None or submission.account in accounts for accounts in served):
            return ""
        return f"No machine that serves this model and shares with your account {seen}."

    def _repeated(self, tx: Tx, submission: Submission) -> RequestView | None:
        """The request that this one repeats. Raises IdempotencyConflict."""
        if submission.idempotency_key is None:
            return None
        key = submission.idempotency_key
        earlier = tx.one(RequestRecord, account=submission.account, idempotency_key=key)
        if earlier is None:
            return None
        if earlier.body_hash != submission.body_hash:
            raise IdempotencyConflict
        return self._view(tx, earlier)

    def _queue(self, tx: Tx, submission: Submission, order_at: float, now: float) -> RequestView:
        settings = self._grid.settings
        body = body_of(submission)
        grace_s = settings.reader_grace_s if submission.idempotency_key is None else settings.reader_grace_with_key_s
        request = RequestRecord(
            id=submission.id,
            account=submission.account,
            kind=submission.kind,
            model=submission.model,
            body=seal_body(self._grid.vault, body),
            rendered_at=submission.rendered_at,
            priority=submission.priority,
            created_at=now,
            reader_at=now,
            reader_grace_s=grace_s,
            idempotency_key=submission.idempotency_key,
            body_hash=submission.body_hash,
            ended_at=None,
            left=len(submission.params),
        )
        jobs = [
            JobRecord(
                job=Job(
                    id=f"{submission.id}.{position}",
                    deadline=now + submission.deadline_s,
                    max_tokens=params.max_tokens,
                    prompt_bytes=body.prompt_bytes,
                    dry_limit=MAX_DRY_TOKENS + max((len(one.encode()) for one in params.stop), default=0),
                ),
                request=submission.id,
                position=position,
                account=submission.account,
                kind=submission.kind,
                model=submission.model,
                priority=submission.priority,
                order_at=order_at,
            )
            for position, params in enumerate(submission.params)
        ]
        tx.put(request, *jobs)
        choices = tuple(self._choice(tx, job, 0) for job in jobs)
        return RequestView(request.id, request.kind, request.model, now, choices)

    def _view(self, tx: Tx, request: RequestRecord, ledger: bool = False) -> RequestView:
        jobs = sorted(tx.find(JobRecord, request=request.id), key=lambda record: record.position)
        choices = tuple(self._choice(tx, record, 0, ledger) for record in jobs)
        return RequestView(request.id, request.kind, request.model, request.created_at, choices)

    def _error(self, record: JobRecord) -> JobError | None:
        error = record.job.error
        if error is None or record.refusal is None:
            return error
        return replace(error, message=self._grid.vault.open(record.refusal).decode())

    def _choice(self, tx: Tx, record: JobRecord, after: int, ledger: bool = False) -> ChoiceView:
        job = record.job
        after = max(0, min(after, job.bytes))
        chunks = tx.chunks(job.id, after) if job.bytes > after else []
        begin = chunks[0].bytes_before if chunks else after
        text = open_text(self._grid.vault, chunks)[after - begin :]
        while text and text[0] & 0xC0 == 0x80:  # `after` points into a character: go on from the next one
            text, after = text[1:], after + 1
        return ChoiceView(
            index=record.position,
            job=job.id,
            state=job.state,
            text=text.decode(),
            text_from=after,
            tokens=job.tokens,
            bytes=job.bytes,
            prompt_tokens=job.prompt_tokens,
            finish_reason=job.finish,
            error=self._error(record),
            ledger=ledger_of(tx, job.id) if ledger else (),
        )


def ledger_of(tx: Tx, job: str) -> tuple[LedgerEntry, ...]:
    """Who gave which positions of a job, in order."""
    return tuple(
        LedgerEntry(
            node=chunk.node,
            fence=chunk.fence,
            tokens_before=chunk.tokens_before,
            tokens=chunk.tokens,
            bytes_before=chunk.bytes_before,
            bytes=chunk.bytes,
        )
        for chunk in tx.chunks(job)
    )


def catalogue(models: list[ModelRecord]) -> tuple[CatalogueModel, ...]:
    return tuple(
        CatalogueModel(
            sha256=model.sha256,
            id=model.id,
            size_bytes=model.size_bytes,
            context=model.context,
            created=model.created,
            file=model.shared,
        )
        for model in sorted(models, key=lambda model: model.id)
    )
