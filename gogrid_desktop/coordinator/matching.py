"""Who gets which job: the order of the queue, and the match of queued jobs with waiting nodes. Pure.

A node that is an account's own serves this account's jobs before all others of the same priority: where another's job
would go to it, the account's next one goes first. So it jumps ahead there alone, and the order holds everywhere else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gogrid_desktop.coordinator.store.records import JobRecord
from gogrid_desktop.protocol.grid import JobKind, Priority, Work

#: How much later a job of this priority is in the order than a critical one that came at the same time.
STEP_S = {Priority.CRITICAL: 0.0, Priority.HIGH: 2.0, Priority.NORMAL: 15.0, Priority.LOW: 300.0}
#: A guess of how fast a node makes tokens, to charge an account with expected seconds.
EXPECTED_TOKENS_PER_S = 50.0
EXPECTED_TOKENS = 256
#: An account is never put further back than this.
MAX_LEAD_S = 3600.0
#: A job is kept from the nodes to avoid for so long after it could be leased again, while another one serves it.
AVOID_S = 10.0


def expected_s(max_tokens: Iterable[int]) -> float:
    """Seconds that the choices of a request are expected to take."""
    return sum(min(one, EXPECTED_TOKENS) for one in max_tokens) / EXPECTED_TOKENS_PER_S


def place(priority: Priority, deadline_s: float, expected_s: float, next_at: float, now: float) -> tuple[float, float]:
    """Where a new request stands in the order, and where the account's next one will begin: `(order_at, next_at)`."""
    begin = max(now, min(next_at, now + MAX_LEAD_S))
    step = max(0.0, deadline_s - 2 * expected_s) if priority is Priority.BATCH else STEP_S[priority]
    return begin + step, begin + expected_s


@dataclass(slots=True)
class Offer:
    """What a waiting node can take. `running`: leases it has. `alone`: one of them must run alone.

    `account`: whose own node it is. `accounts`: whose jobs it takes, None for everyone's. `left`: how many more jobs of
    a kind of work; what is not named is limited by `free` alone.
    """

    node: str
    poll: str
    free: int
    resident: frozenset[str]
    models: frozenset[str]
    kinds: frozenset[JobKind]
    context: int
    running: int = 0
    alone: bool = False
    account: str | None = None
    accounts: frozenset[str] | None = None
    left: dict[Work, int] = field(default_factory=dict)
    why_not: Counter[str] = field(default_factory=Counter)

    def refuses(self, record: JobRecord, now: float, elsewhere: Callable[[JobRecord], bool]) -> str | None:
        """Why this node cannot have the job, in a word; None if it can."""
        job = record.job
        if record.model not in self.models:
            return "model"
        if record.kind not in self.kinds:
            return "kind"
        if self.accounts is not None and record.account not in self.accounts:
            return "share"
        if self.left.get(record.work, 1) < 1:
            return "limit"
        if max(job.needs_context, (job.prompt_tokens or 0) + job.tokens + 1) > self.context:
            return "context"
        if self.alone or (job.suspect and self.running):
            return "alone"
        if self.node in job.avoid and now < job.not_before + AVOID_S and elsewhere(record):
            return "avoided"
        return None

    def take(self, record: JobRecord) -> None:
        """Count the job as given to this node."""
        self.free = 0 if record.job.suspect else self.free - 1
        self.running += 1
        self.alone = record.job.suspect
        if record.work in self.left:
            self.left[record.work] -= 1


def _nobodys(account: str, priority: Priority) -> Iterable[JobRecord]:
    return ()


def match(
    offers: list[Offer],
    queue: Iterable[JobRecord],
    now: float,
    elsewhere: Callable[[JobRecord], bool],
    own: Callable[[str, Priority], Iterable[JobRecord]] = _nobodys,
) -> list[tuple[JobRecord, Offer]]:
    """Give jobs out in order, each to a node that has its model loaded if there is one, then to the emptiest.

    `elsewhere` tells whether another node than those to avoid serves a job; `own` the queued jobs of an account at a
    priority, in order. Offers are counted down as they are used. A job that is in `queue` twice is given out once.
    """
    matched: list[tuple[JobRecord, Offer]] = []
    given: set[str] = set()

    def give(record: JobRecord, offer: Offer) -> None:
        offer.take(record)
        given.add(record.id)
        matched.append((record, offer))

    def sooner(record: JobRecord, offer: Offer) -> JobRecord | None:
        """The job of the node's own account that goes before this one."""
        if offer.account is None or offer.account == record.account:
            return None
        owned = own(offer.account, record.priority)
        ready = (one for one in owned if one.id not in given and offer.refuses(one, now, elsewhere) is None)
        return next(ready, None)

    for record in queue:
        able = [offer for offer in offers if offer.free > 0]
        if not able:
            break
        if record.id in given:
            continue
        willing: list[Offer] = []
        for offer in able:
            if (why := offer.refuses(record, now, elsewhere)) is None:
                willing.append(offer)
            else:
                offer.why_not[why] += 1
        while willing:
            best = min(willing, key=lambda offer: _preference(offer, record))
            first = sooner(record, best)
            give(first or record, best)
            if first is None:
                break
            willing = [offer for offer in willing if offer.free and offer.refuses(record, now, elsewhere) is None]
    return matched


def _preference(offer: Offer, record: JobRecord) -> tuple[bool, int, bool, int]:
    return record.model not in offer.resident, offer.running, offer.account != record.account, -offer.free
