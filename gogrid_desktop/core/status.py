"""What the agent tells tray and command line about itself: one value, small enough to be sent whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gogrid_desktop.core.histogram import Histogram
from gogrid_desktop.core.profiles import NOTHING, Limits, Profile


class AgentState(StrEnum):
    """The seven states that the tray icon draws."""

    STARTING = "starting"
    SHARING = "sharing"
    GENTLE = "gentle"  # sharing less than the person's own setting would allow
    PAUSED = "paused"
    IDLE = "idle"  # nothing to do
    OFFLINE = "offline"  # the coordinator does not answer
    NEEDS_YOU = "needs_you"  # something only the person can mend


@dataclass(frozen=True, slots=True)
class Reason:
    """One ceiling that held when the decision was made, and its sentence."""

    rule: str
    ceiling: Profile
    sentence: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts since the agent started; shown to the volunteer and checked by the demo."""

    jobs: int = 0
    jobs_failed: int = 0
    tokens: int = 0
    leases: int = 0
    heartbeats: int = 0
    resumed: int = 0
    yields: int = 0
    worker_restarts: int = 0


@dataclass(frozen=True, slots=True)
class ThrottleStats:
    """Requests since the agent started, as the least time between two starts (`interval_ms`) held them.

    `total` asked to start; `throttled` of them had to wait, which is `rate` (0..1) of all; `cancelled` gave up waiting,
    `waiting` still do. `rejected_for_vram` were refused because their model does not fit the memory budget.
    """

    total: int = 0
    throttled: int = 0
    rate: float = 0.0
    cancelled: int = 0
    waiting: int = 0
    rejected_for_vram: int = 0
    interval_ms: int = 0


@dataclass(frozen=True, slots=True)
class YieldStats:
    """How fast limits that were lowered held: from the event to the decision (`decided`), from there until no step
    under the old ones ran (`stopped`), both together (`whole`), and until memory that was wanted at once was back
    (`memory`). `count`: how often jobs ran meanwhile."""

    count: int = 0
    decided: Histogram = field(default_factory=Histogram)
    stopped: Histogram = field(default_factory=Histogram)
    whole: Histogram = field(default_factory=Histogram)
    memory: Histogram = field(default_factory=Histogram)


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker, as people see it. `state` as in `core.worker_state`; `plan`: how the model is held, and why so;
    `health`: what is wrong with it, `problem`: why it cannot be loaded, both empty when all is well; `rank`: how the
    system ranks its process, as read back."""

    model: str
    state: str
    pid: int | None = None
    jobs: int = 0
    tokens_per_s: float = 0.0
    rss_bytes: int = 0
    plan: str = ""
    health: str = ""
    problem: str = ""
    rank: str = ""


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """Everything that tray and command line show. Times are seconds since the epoch, rates per second."""

    version: str
    pid: int
    state: AgentState = AgentState.STARTING
    profile: Profile = Profile.PAUSED
    headline: str = "Starting"
    reason: str = ""
    what_next: str = ""
    reasons: tuple[Reason, ...] = ()
    limits: Limits = NOTHING
    sharing: bool = True
    snooze_until: float | None = None
    until_away: bool = False  # paused until the person is away
    anyway_until: float | None = None  # shared although the person is there
    draining: bool = False
    problem: str = ""
    notice: str = ""
    connected: bool = False
    coordinator: str = ""
    node_name: str = ""
    idle_source: str = ""
    idle_s: float | None = None
    signals: tuple[str, ...] = ()  # what the sources have to say of themselves: lost, dropped, lying
    suggestion: str = ""  # a setting that the person's own pauses suggest
    worker: str = "none"
    worker_pid: int | None = None
    model: str = ""
    slots: int = 0
    jobs_running: int = 0
    tokens_per_s: float = 0.0
    totals: Totals = field(default_factory=Totals)
    workers: tuple[WorkerView, ...] = ()
    memory: str = "normal"  # the worst pressure: low, normal, high, critical
    throttle: ThrottleStats = field(default_factory=ThrottleStats)
    yielding: YieldStats = field(default_factory=YieldStats)
