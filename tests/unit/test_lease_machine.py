"""Whatever is doubled, reordered or lost between nodes and coordinator: no position of a text is doubled or missing.

Every node generates the same true text from wherever its lease began. Messages wait in a bag; the network delivers any
of them at any time, as often as it likes, or never.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gogrid_desktop.core.lease import (
    Chunk,
    Completed,
    Faulted,
    FaultKind,
    FinishReason,
    Job,
    JobState,
    Released,
    ReleaseReason,
    Said,
    Verdict,
    cancel,
    expire,
    grant,
    hear,
    job_of,
    unarrived,
)

TOTAL = 12
#: Bytes of each token of the true text: some tokens are silent, some are long.
SIZES = (1, 0, 3, 2, 0, 0, 4, 1, 1, 0, 2, 1)
NODES = ("a", "b", "c")


def bytes_at(tokens: int) -> int:
    return sum(SIZES[:tokens])


@dataclass
class Life:
    """A node's own view of one lease: how far it is acknowledged, and how far it has generated."""

    node: str
    lease: str
    fence: int
    acked: int
    made: int
    over: bool = False
    verdicts: list[Verdict] = field(default_factory=list)


class Grid(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.job = Job("j", deadline=1e9, max_tokens=TOTAL, prompt_bytes=10)
        self.lives: list[Life] = []
        self.bag: list[Said] = []
        self.text: list[tuple[int, int, int, int]] = []
        self.remembered: dict[str, tuple[Verdict, int, int]] = {}
        self.now = 0.0

    def running(self) -> list[Life]:
        return [life for life in self.lives if not life.over]

    @precondition(lambda self: self.job.state is JobState.QUEUED)
    @rule(node=st.sampled_from(NODES))
    def lease(self, node: str) -> None:
        fence = self.job.fence
        self.job = grant(self.job, node, "p", self.now)
        assert self.job.fence == fence + 1
        assert self.job.lease is not None
        self.lives.append(Life(node, self.job.lease.id, self.job.fence, self.job.tokens, self.job.tokens))

    @precondition(lambda self: any(life.made < TOTAL for life in self.running()))
    @rule(data=st.data(), count=st.integers(1, 5))
    def generate(self, data: st.DataObject, count: int) -> None:
        life = data.draw(st.sampled_from([life for life in self.running() if life.made < TOTAL]))
        life.made = min(TOTAL, life.made + count)

    @precondition(lambda self: bool(self.running()))
    @rule(data=st.data(), ending=st.sampled_from(["", "complete", "release", "fault", "suspect"]))
    def send(self, data: st.DataObject, ending: str) -> None:
        """Everything unacknowledged, cut anywhere, and perhaps an end."""
        life = data.draw(st.sampled_from(self.running()))
        cuts = sorted(data.draw(st.sets(st.integers(life.acked, life.made), max_size=3)) | {life.acked, life.made})
        chunks = tuple(
            Chunk(index, begin, bytes_at(begin), end - begin, bytes_at(end) - bytes_at(begin))
            for index, (begin, end) in enumerate(pairwise(cuts))
        )
        end: Completed | Released | Faulted | None = None
        if ending == "complete" and life.made == TOTAL:
            end = Completed(TOTAL, bytes_at(TOTAL), FinishReason.STOP)
        elif ending == "release":
            end = Released(ReleaseReason.YIELDED)
        elif ending in ("fault", "suspect"):
            end = Faulted(FaultKind.WORKER if ending == "fault" else FaultKind.SUSPECT)
        self.bag.append(Said(life.node, life.lease, life.fence, 5, "hash", chunks, end))

    @precondition(lambda self: bool(self.bag))
    @rule(data=st.data(), keep=st.booleans(), answered=st.booleans())
    def deliver(self, data: st.DataObject, keep: bool, answered: bool) -> None:
        index = data.draw(st.integers(0, len(self.bag) - 1))
        said = self.bag[index]
        if not keep:
            del self.bag[index]
        if said.lease in self.remembered:
            verdict, tokens, _ = self.remembered[said.lease]
        else:
            heard = hear(self.job, said, self.now, 0.0)
            self.job = heard.job
            for one in heard.taken:
                self.text.append((one.tokens_before, one.bytes_before, one.tokens, one.bytes))
            verdict, tokens = heard.verdict, heard.job.tokens
            if heard.remember:
                self.remembered[said.lease] = (verdict, heard.job.tokens, heard.job.bytes)
        if answered:
            life = next(life for life in self.lives if life.lease == said.lease)
            life.verdicts.append(verdict)
            life.acked = min(life.made, tokens) if verdict is Verdict.RENEWED else life.acked
            life.over = life.over or verdict is not Verdict.RENEWED

    @precondition(lambda self: bool(self.bag))
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        del self.bag[data.draw(st.integers(0, len(self.bag) - 1))]

    @rule()
    def fall_silent(self) -> None:
        self.now += 30.0
        self.job = expire(self.job, self.now, 0.0)

    @rule()
    def never_arrive(self) -> None:
        self.job = unarrived(self.job)

    @precondition(lambda self: len(self.lives) > 4)
    @rule()
    def nobody_wants_it(self) -> None:
        self.job = cancel(self.job)

    @invariant()
    def the_text_has_every_position_once(self) -> None:
        tokens = size = 0
        for tokens_before, bytes_before, count, length in self.text:
            assert (tokens_before, bytes_before) == (tokens, size)
            tokens, size = tokens + count, size + length
            assert size == bytes_at(tokens)
        assert (tokens, size) == (self.job.tokens, self.job.bytes)

    @invariant()
    def one_lease_at_most_is_renewed(self) -> None:
        if self.job.lease is not None:
            assert job_of(self.job.lease.id) == self.job.id
            assert self.job.lease.id == f"j.{self.job.fence}"

    @invariant()
    def what_is_complete_is_whole(self) -> None:
        if self.job.state is JobState.COMPLETED:
            assert (self.job.tokens, self.job.bytes) == (TOTAL, bytes_at(TOTAL))


Grid.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestTheLeaseMachine = Grid.TestCase
