"""The grid protocol between a node and its coordinator: enrolment, leases, reports.

A write counts only with the newest fence of its job. Tokens are the truth: a chunk is taken iff both of its counters
equal what the coordinator has, and every verdict says what that is, so that a node can go on from there.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from gogrid_desktop.core.gbnf import MAX_CHARS as MAX_GRAMMAR_CHARS
from gogrid_desktop.core.lease import FaultKind as FaultKind
from gogrid_desktop.core.lease import FinishReason as FinishReason
from gogrid_desktop.core.lease import ReleaseReason as ReleaseReason
from gogrid_desktop.core.lease import Verdict as Verdict
from gogrid_desktop.core.sharing import GROUP_PATTERN, MAX_GROUPS
from gogrid_desktop.core.sharing import ShareWith as ShareWith
from gogrid_desktop.core.sharing import Work as Work

PROTOCOL_VERSION = 1
HEARTBEAT_S = 5.0
LEASE_S = 20.0
SWEEP_S = 2.0
#: Least time between two reports of a node while tokens flow; over `REPORTS_PER_S` the answer is 429.
REPORT_INTERVAL_S = 0.25
REPORTS_PER_S = 10
#: Reasons for no lease that only the person or the operator can mend.
NO_ACCOUNT, NO_GROUP = "no_account", "no_group"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]

MAX_BIASES = 1024
MAX_TOP_LOGPROBS = 20
Penalty = Annotated[float, Field(ge=-2, le=2)]
RepetitionPenalty = Annotated[float, Field(ge=0.1, le=10)]
PenaltyWindow = Annotated[int, Field(ge=-1, le=2**31 - 1)]
Bias = Annotated[float, Field(ge=-100, le=100)]
GroupName = Annotated[str, Field(pattern=GROUP_PATTERN)]
GrammarText = Annotated[str, Field(min_length=1, max_length=MAX_GRAMMAR_CHARS)]
#: Of one token: its log-probability, and (id, log-probability) of the likeliest at its position, best first.
TokenLogprobs = tuple[float, tuple[tuple[int, float], ...]]


class Wire(BaseModel):
    """Unknown fields are refused: a newer peer must raise the protocol version."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class JobKind(StrEnum):
    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    PROBE = "probe"


class Priority(StrEnum):
    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
    BATCH = "batch"


def work_of(kind: JobKind, priority: Priority) -> Work:
    """Which of a person's limits a job counts under; each counts under one."""
    if kind is JobKind.EMBEDDING:
        return Work.EMBEDDING
    return Work.BATCH if priority is Priority.BATCH else Work.CHAT


class Message(Wire):
    """One chat message; `content` is plain text."""

    role: Literal["system", "user", "assistant", "tool", "developer"]
    content: str
    name: str | None = None


class SamplingParams(Wire):
    """How to draw. Position-keyed: the draw at a position depends on seed, choice and position alone.

    `top_k` 0 keeps all. `repetition_penalty` looks at the last `penalty_last_n` tokens of prompt and answer (-1: at all
    of them); frequency and presence penalty at the answer. `logprobs`: how many of the likeliest tokens are reported
    beside the drawn one; None reports neither. `grammar` is a GBNF text, `json_schema` a JSON Schema; not both are set.
    """

    max_tokens: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 40
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    choice: Annotated[int, Field(ge=0)] = 0
    stop: tuple[str, ...] = ()
    repetition_penalty: RepetitionPenalty = 1.0
    penalty_last_n: PenaltyWindow = 64
    frequency_penalty: Penalty = 0.0
    presence_penalty: Penalty = 0.0
    logit_bias: Annotated[dict[Annotated[int, Field(ge=0, lt=2**31)], Bias], Field(max_length=MAX_BIASES)] = {}
    logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    grammar: GrammarText | None = None
    json_schema: GrammarText | None = None

    @model_validator(mode="after")
    def _one_grammar(self) -> SamplingParams:
        if self.grammar is not None and self.json_schema is not None:
            raise ValueError("grammar and json_schema are both set; send one of them")
        return self


class Have(Wire):
    """How far a job is: tokens generated and UTF-8 bytes of text released."""

    tokens: Count = 0
    bytes: Count = 0


class Job(Wire):
    """What a node needs to run, or to go on with, one choice of a request.

    Jobs of one `prefix_salt` may share what the node computed for a common beginning; "" shares with nobody.
    """

    id: str
    kind: JobKind
    model: Sha256
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    rendered_at: float
    params: SamplingParams
    priority: Priority = Priority.NORMAL
    deadline: float
    prefix_salt: Annotated[str, Field(max_length=64)] = ""
    prompt_tokens: Count | None = None
    prompt_hash: str | None = None
    token_ids: tuple[int, ...] = ()
    have: Have = Have()


class Lease(Wire):
    """`alone`: run nothing beside this job (it is suspected of killing workers)."""

    id: str
    fence: Count
    job: Job
    alone: bool = False


class Invite(Wire):
    """Body of `POST /grid/v1/nodes`."""

    invite: str
    name: Annotated[str, Field(min_length=1, max_length=64)]
    platform: str = ""
    version: str = ""
    protocol: int = PROTOCOL_VERSION


class Enrolled(Wire):
    node_id: str
    node_token: str
    coordinator: str = ""


class LeaseCall(Wire):
    """Body of `POST /grid/v1/leases?wait=25`. `poll` is `start.number`: fresh for each start of the node, and growing.

    A newer poll closes the older.

    `work`: what is ever taken here. `work_free`: how many more jobs of it now; what is not named fills the slots.
    `share_with` and `groups`: whose jobs are taken. These four are sent only where they limit something, so that a
    coordinator which does not know them serves all others, and refuses (unknown field) what it could not keep.
    """

    poll: str
    slots: Annotated[int, Field(ge=1, le=1024)]
    models_resident: tuple[Sha256, ...] = ()
    models_on_disk: tuple[Sha256, ...] = ()
    backend: str = ""
    budget_bytes: Count = 0
    context: Annotated[int, Field(ge=1)]
    kinds: tuple[JobKind, ...] = (JobKind.CHAT, JobKind.COMPLETION)
    prefixes: tuple[str, ...] = ()
    work: Annotated[tuple[Work, ...], Field(max_length=len(Work))] = tuple(Work)
    work_free: dict[Work, Annotated[int, Field(ge=0, le=1024)]] = {}
    share_with: ShareWith = ShareWith.EVERYONE
    groups: Annotated[tuple[GroupName, ...], Field(max_length=MAX_GROUPS)] = ()

    @model_serializer(mode="wrap")
    def _limits_if_any(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        sent: dict[str, Any] = serialize(self)
        usual = LeaseCall.model_fields
        for name in ("work", "work_free", "share_with", "groups"):
            if getattr(self, name) == usual[name].default:
                del sent[name]
        return sent


class Leases(Wire):
    """200 of the lease call. `none_because` counts the reasons when `leases` is empty (sent with 200 too).

    `NO_ACCOUNT` and `NO_GROUP` among them: there is nobody on the grid whose jobs this node would take.
    """

    leases: tuple[Lease, ...] = ()
    none_because: dict[str, int] = {}


class Chunk(Wire):
    """Tokens and text from a position on. `text` may lag behind by partial characters and possible stop strings.

    `logprobs` has one entry for each token id, where the job asks for them.
    """

    tokens_before: Count
    bytes_before: Count
    token_ids: tuple[int, ...] = ()
    text: str = ""
    logprobs: tuple[TokenLogprobs, ...] | None = None

    @model_validator(mode="after")
    def _one_for_each_token(self) -> Chunk:
        if self.logprobs is not None and len(self.logprobs) != len(self.token_ids):
            raise ValueError(f"logprobs has {len(self.logprobs)} entries for {len(self.token_ids)} tokens")
        return self


class Complete(Wire):
    """Totals of the finished job; taken only when they equal what the coordinator has."""

    type: Literal["complete"] = "complete"
    tokens: Count
    bytes: Count
    finish_reason: FinishReason


class Release(Wire):
    """Blameless: the tokens so far stay with the job. `needs_context` says how many tokens it would take."""

    type: Literal["release"] = "release"
    reason: ReleaseReason
    needs_context: Count | None = None


class Rejected(Wire):
    """The request's own fault: becomes a 4xx for the submitter at once."""

    type: Literal["rejected"] = "rejected"
    code: str
    param: str | None = None
    message: str


class Fault(Wire):
    type: Literal["fault"] = "fault"
    kind: FaultKind
    message: str


End = Annotated[Complete | Release | Rejected | Fault, Field(discriminator="type")]


class PromptFacts(Wire):
    """Length and hash of the tokenised prompt; sent with the first chunk of a lease or before it."""

    tokens: Count
    hash: str


class LeaseReport(Wire):
    """What a node has to say of one lease. Chunks apply in order, then at most one end."""

    lease: str
    fence: Count
    prompt: PromptFacts | None = None
    prefilled: Count = 0
    chunks: tuple[Chunk, ...] = ()
    end: End | None = None


class NodeState(Wire):
    """What the operator sees of a node."""

    profile: str = ""
    reason: str = ""
    tokens_per_s: float = 0.0


class Report(Wire):
    """Body of `POST /grid/v1/reports`; also the heartbeat. `held`: every lease the node has, by id."""

    poll: str
    held: tuple[str, ...] = ()
    state: NodeState = NodeState()
    leases: tuple[LeaseReport, ...] = ()


class LeaseVerdict(Wire):
    lease: str
    verdict: Verdict
    have: Have = Have()


class Directives(Wire):
    """`fetch`: models (sha256) that this node had better have."""

    drain: bool = False
    fetch: tuple[Sha256, ...] = ()
    message: str = ""


class Reported(Wire):
    """Answer to a report: a verdict for each lease that the report names or holds."""

    verdicts: tuple[LeaseVerdict, ...] = ()
    directives: Directives = Directives()


class CatalogueModel(Wire):
    """A model of the catalogue. `size_bytes` of the file, `context` in tokens."""

    sha256: Sha256
    id: str
    size_bytes: Count
    context: Count
    created: int
    file: bool = False  # the coordinator can send the file itself


class Catalogue(Wire):
    models: tuple[CatalogueModel, ...] = ()


class LedgerEntry(Wire):
    """One chunk that was taken: who gave which positions under which fence."""

    node: str
    fence: Count
    tokens_before: Count
    tokens: Count
    bytes_before: Count
    bytes: Count


class ChoiceState(Wire):
    index: int
    job: str
    state: str
    have: Have
    finish_reason: FinishReason | None = None
    prompt_tokens: Count | None = None
    error: str = ""
    ledger: tuple[LedgerEntry, ...] = ()


class RequestState(Wire):
    """Answer to `GET /grid/v1/requests/{id}`: counts only, no text."""

    id: str
    model: str
    created: float
    choices: tuple[ChoiceState, ...]
