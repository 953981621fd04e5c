"""What agent and worker say to each other: one JSON object per line on the worker's standard input and output.

Standard output carries these alone. End of standard input means exit at once. A job is named by its lease id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import to_json

from gogrid_desktop.core.profiles import Limits
from gogrid_desktop.core.rank import Rank
from gogrid_desktop.protocol.grid import Chunk, FinishReason, Job, TokenLogprobs

MAX_LINE_BYTES = 16 * 2**20

#: Environment of the worker: the CPUs that it is bound to, as a list ("0-3,8").
CPUS_ENVIRONMENT = "GOGRID_WORKER_CPUS"


class Frame(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# --- to the worker -------------------------------------------------------------------------------------------------


class Load(Frame):
    """Load this file. `context`: most tokens of one sequence; `total_context`: KV cells for all `slots` together.

    Where `total_context` is `slots` x `context` each sequence has cells of its own, otherwise they share all of them.
    `tensor_split`: parts of the model for each GPU, () for llama.cpp's choice. With `deterministic` jobs run one at a
    time and say the same to the bit wherever they run on the same kind of machine.
    """

    type: Literal["load"] = "load"
    path: str
    sha256: str
    context: int
    total_context: int
    slots: int
    threads: int = 0  # 0 = as many as there are physical cores
    gpu_layers: int = 0
    kv_type: Literal["f16", "q8_0"] = "f16"
    tensor_split: tuple[float, ...] = ()
    mmap: bool = True
    mlock: bool = False
    numa: Literal["off", "distribute", "isolate", "numactl"] = "off"
    deterministic: bool = False


class Start(Frame):
    """Run a job, or go on with it from `job.token_ids` and `job.have.bytes`."""

    type: Literal["start"] = "start"
    lease: str
    fence: int
    job: Job


class Cancel(Frame):
    """Stop a job; answered by `Cancelled` after the last chunk of it."""

    type: Literal["cancel"] = "cancel"
    lease: str


class SetLimits(Frame):
    """Hold to these limits from the next micro-step on, and take the rank they ask for; answered by `Applied`."""

    type: Literal["limits"] = "limits"
    seq: int
    limits: Limits


class Pause(Frame):
    """Begin no step until `Resume`; a running step is stopped. Answered by `Applied`."""

    type: Literal["pause"] = "pause"
    seq: int


class Resume(Frame):
    type: Literal["resume"] = "resume"
    seq: int


class Room(Frame):
    """Run at most `slots` jobs (the others wait, with their tokens); keep no finished prefixes where it says so.

    Answered by `Applied`; holds until the next load.
    """

    type: Literal["room"] = "room"
    seq: int
    slots: int
    prefixes: bool


class Unload(Frame):
    """Give all memory of the model back; running jobs are cancelled first."""

    type: Literal["unload"] = "unload"


class Ping(Frame):
    """Answered by `Pong` within 100 ms, by the thread that reads: also while a step runs or a model loads."""

    type: Literal["ping"] = "ping"
    seq: int


class Probe(Frame):
    """Make one real token with the loaded model, beside no job; answered by `Probed`. Sent only while nothing runs."""

    type: Literal["probe"] = "probe"
    seq: int


Command = Annotated[
    Load | Start | Cancel | SetLimits | Pause | Resume | Room | Unload | Ping | Probe, Field(discriminator="type")
]
COMMAND: TypeAdapter[Command] = TypeAdapter(Command)

# --- from the worker -----------------------------------------------------------------------------------------------


class Hello(Frame):
    """First frame. `backends`: the compute devices that llama.cpp sees ("CPU", "CUDA0", ...)."""

    type: Literal["hello"] = "hello"
    version: str
    pid: int
    backends: tuple[str, ...] = ()


class StateChanged(Frame):
    """A legal transition of `core.worker_state.WorkerState`."""

    type: Literal["state"] = "state"
    state: str
    detail: str = ""


class Loaded(Frame):
    type: Literal["loaded"] = "loaded"
    sha256: str
    context: int
    slots: int
    load_s: float
    memory_bytes: int = 0


class LoadFailed(Frame):
    type: Literal["load_failed"] = "load_failed"
    sha256: str
    message: str
    remedy: str = ""


class Prompted(Frame):
    """The prompt was tokenised: its length and the hash of its ids."""

    type: Literal["prompted"] = "prompted"
    lease: str
    tokens: int
    hash: str


class Prefilled(Frame):
    type: Literal["prefilled"] = "prefilled"
    lease: str
    tokens: int


class Emitted(Frame):
    """New tokens and text of a job."""

    type: Literal["emitted"] = "emitted"
    lease: str
    chunk: Chunk


class Emission(NamedTuple):
    """An `Emitted` as the worker makes it, one for each token: making the models would take longer than the rest."""

    lease: str
    tokens_before: int
    bytes_before: int
    token_ids: Sequence[int] = ()
    text: str = ""
    logprobs: Sequence[TokenLogprobs] | None = None


class Finished(Frame):
    """All of a job was emitted. `reused`: so many tokens of its prompt were in the cache already."""

    type: Literal["finished"] = "finished"
    lease: str
    tokens: int
    bytes: int
    finish_reason: FinishReason
    reused: int = 0


class JobRejected(Frame):
    """The request's own fault. `code` `needs_context` carries the tokens it would take in `needs_context`."""

    type: Literal["rejected"] = "rejected"
    lease: str
    code: str
    param: str | None = None
    message: str
    needs_context: int | None = None


class JobFailed(Frame):
    """This job failed and no other. `incompatible`: its tokens cannot be replayed here."""

    type: Literal["failed"] = "failed"
    lease: str
    message: str
    incompatible: bool = False


class Cancelled(Frame):
    type: Literal["cancelled"] = "cancelled"
    lease: str


class Applied(Frame):
    """No step under the old limits runs any more. `took_ms` since it was read. `rank` is what the system holds the
    worker to, read back; only after `SetLimits`."""

    type: Literal["applied"] = "applied"
    seq: int
    took_ms: float
    rank: Rank | None = None


class Unloaded(Frame):
    type: Literal["unloaded"] = "unloaded"


class Pong(Frame):
    """How far the worker is; health means that `steps` grows while jobs run.

    `steps`: decode steps so far; `running`: jobs in it; `rss_bytes`: resident memory; `busy_s`: how long the step that
    runs now has been running, 0 between two steps; `longest_s`: the longest step that ended since the ping before.
    """

    type: Literal["pong"] = "pong"
    seq: int
    steps: int
    running: int
    rss_bytes: int
    busy_s: float = 0.0
    longest_s: float = 0.0


class Probed(Frame):
    """The token of a `Probe` is there after `took_ms`; `problem` says in a sentence why it is not."""

    type: Literal["probed"] = "probed"
    seq: int
    took_ms: float
    problem: str = ""


class LogRecord(Frame):
    type: Literal["log"] = "log"
    level: Literal["debug", "info", "warning", "error"]
    message: str


Event = Annotated[
    Hello
    | StateChanged
    | Loaded
    | LoadFailed
    | Prompted
    | Prefilled
    | Emitted
    | Finished
    | JobRejected
    | JobFailed
    | Cancelled
    | Applied
    | Unloaded
    | Pong
    | Probed
    | LogRecord,
    Field(discriminator="type"),
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def encode(frame: Frame | Emission) -> bytes:
    """One line, newline included."""
    if isinstance(frame, Emission):
        chunk = frame._asdict()
        return to_json({"type": "emitted", "lease": chunk.pop("lease"), "chunk": chunk}) + b"\n"
    return frame.model_dump_json(exclude_defaults=False).encode() + b"\n"
