"""What a person can set: typed, bounded, with units in the names, versioned.

A setting has a dotted name (`presence.away_after_s`); its description and its bounds come from the field alone, so that
the command line, the settings page and every error say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gogrid_desktop.core.activity import Preferences, Role
from gogrid_desktop.core.cpus import format_cpus, parse_cpus
from gogrid_desktop.core.mps import PERCENT, refused_memory, refused_percent
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Limits, Profile
from gogrid_desktop.core.sharing import GROUP_NAMES, Work, group_names
from gogrid_desktop.core.windows import DEFAULT_ROWS, format_grid, parse_grid

VERSION: Final = 1
_BALANCED = PROFILE_LIMITS[Profile.BALANCED]


def _listed(value: object) -> object:
    """A list from a command line: comma-separated, empty means none."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


#: Asked at every decision; the rows hardly ever change.
_grid = lru_cache(maxsize=4)(parse_grid)


def _grid_rows(rows: tuple[str, ...]) -> tuple[str, ...]:
    return format_grid(parse_grid(rows))


def _address(value: str) -> str:
    if value and not value.startswith(("https://", "http://")):
        raise ValueError("an address that begins with https:// (http:// for this machine alone)")
    return value.rstrip("/")


def _no_folder(value: object) -> object:
    return None if value == "" else value


def _names(programs: tuple[str, ...]) -> tuple[str, ...]:
    """Of executables; what was written as a path is its last part."""
    return tuple(program.replace("\\", "/").rpartition("/")[2] for program in programs)


_CEILINGS = "a GPU's number or UUID and a profile, such as 0=paused,1=balanced"


def _ceilings(ceilings: tuple[str, ...]) -> tuple[str, ...]:
    for ceiling in ceilings:
        name, _, profile = ceiling.rpartition("=")
        if not name.strip() or profile not in ("paused", "conservative", "balanced", "aggressive"):
            raise ValueError(f"{_CEILINGS}, not {ceiling}")
    return ceilings


def _lower(programs: tuple[str, ...]) -> frozenset[str]:
    return frozenset(program.lower() for program in programs)


def _cpus(text: str) -> str:
    return format_cpus(parse_cpus(text))


def _mps_percent(percent: int) -> int:
    if why := refused_percent(percent):
        raise ValueError(why)
    return percent


def _mps_memory(limits: tuple[int, ...]) -> tuple[int, ...]:
    for mib in limits:
        if why := refused_memory(mib):
            raise ValueError(why)
    return limits


@dataclass(frozen=True, slots=True)
class Allowed:
    """Beside a type: what the setting may be, in words, where its bounds do not say it."""

    words: str


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Custom(Section):
    """Limits of the person's own; they hold where `sharing.profile` is custom."""

    compute_share: float = Field(_BALANCED.compute_share, ge=0, le=1, description="share of the GPU's or CPU's time")
    vram_fraction: float = Field(_BALANCED.vram_fraction, ge=0, le=1, description="share of the GPU's memory")
    batch: int = Field(_BALANCED.batch, ge=1, le=64, description="requests answered together")
    nice: int = Field(_BALANCED.nice, ge=0, le=19, description="19 lets every other program go first")
    ionice_class: int = Field(3, ge=0, le=3, description="disk priority as in ionice: 3 idle, 2 best effort, 1, 0 none")
    ionice_level: int = Field(4, ge=0, le=7, description="disk priority within classes 1 and 2, 7 the weakest")
    interval_ms: int = Field(_BALANCED.interval_ms, ge=0, le=3_600_000, description="least time between two requests")

    def limits(self) -> Limits:
        level = self.ionice_level if self.ionice_class in (1, 2) else None
        return Limits(
            self.compute_share,
            self.vram_fraction,
            self.batch,
            self.nice,
            self.ionice_class,
            level,
            self.interval_ms,
        )


Programs = Annotated[
    tuple[str, ...], BeforeValidator(_listed), AfterValidator(_names), Allowed("names of programs, such as mpv,vlc")
]


class Sharing(Section):
    enabled: bool = Field(True, description="the switch")
    profile: Literal["conservative", "balanced", "aggressive", "custom"] = Field(
        "aggressive", description="the most that is ever given"
    )
    at_most: Literal["conservative", "balanced", "aggressive"] = Field(
        "aggressive", description="a second ceiling, set from the tray's menu"
    )
    take_turns: bool = Field(True, description="wait while the agent of another user shares this computer")
    custom: Custom = Custom()


class Presence(Section):
    away_after_s: int = Field(180, ge=10, le=86_400, description="without input for this long you count as away")
    while_present: Literal["conservative", "paused"] = Field(
        "conservative", description="while you are at the computer"
    )


class Schedule(Section):
    grid: Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_grid_rows)] = Field(
        DEFAULT_ROWS,
        description="seven rows of 24 hours, Monday first: P paused, C conservative, B balanced, A aggressive",
    )


class PowerSource(Section):
    pause_on_battery: bool = Field(True, description="pause on battery, with battery saver, and on a weak charger")


class ScreenUse(Section):
    pause_on_fullscreen: bool = Field(True, description="pause while a program fills the screen")
    ignore: Programs = Field(
        (), description="programs that may fill the screen or keep it awake, as gogrid status names them"
    )


class Calls(Section):
    pause: bool = Field(True, description="pause while microphone or camera is in use")


class Applications(Section):
    pause_for: Programs = Field((), description="programs that sharing pauses for while they run")
    share_beside: Programs = Field((), description="programs whose use of the GPU does not count")


class GpuUse(Section):
    pause_for_games: bool = Field(True, description="pause while another program uses a GPU as games do")
    temperature_limit_c: int = Field(80, ge=40, le=105, description="how warm a GPU may become by sharing, in Celsius")
    at_most: Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_ceilings), Allowed(_CEILINGS)] = (
        Field((), description="the most that is given of single GPUs; paused: it is not lent")
    )

    def ceilings(self) -> dict[str, Profile]:
        """The most that is given of a GPU, by its number or UUID."""
        return {name: Profile[profile.upper()] for name, _, profile in (each.rpartition("=") for each in self.at_most)}


class Network(Section):
    mind_metered: bool = Field(True, description="no new work over a network that costs by the byte")


class WorkLimits(Section):
    """Most jobs at once of each kind of work, and whose. Running jobs are never ended by a change here."""

    chat: int = Field(
        64, ge=0, le=64, description="most chats and completions at once for which somebody waits; 0: none"
    )
    batch: int = Field(
        64, ge=0, le=64, description="most jobs of batch priority at once, for which nobody waits; 0: none"
    )
    embedding: int = Field(
        64, ge=0, le=64, description="most embeddings at once; 0: none. The grid has none to give out yet"
    )
    share_with: Literal["everyone", "groups", "own"] = Field(
        "everyone",
        description="whose jobs: everyone's, those of work.groups and yours, or your own alone; yours come first",
    )
    groups: Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(group_names), Allowed(GROUP_NAMES)] = (
        Field((), description="groups to share with, as the operator named them; for work.share_with groups")
    )

    @property
    def most(self) -> dict[Work, int]:
        return {Work.CHAT: self.chat, Work.BATCH: self.batch, Work.EMBEDDING: self.embedding}


class Grid(Section):
    coordinator: Annotated[str, AfterValidator(_address)] = Field("", max_length=2000, description="set by gogrid join")
    node_id: str = Field("", max_length=128, description="set by gogrid join")
    node_name: str = Field("", max_length=64, description="how the operator sees this computer; empty: its host name")


class Models(Section):
    folder: Annotated[Path | None, BeforeValidator(_no_folder)] = Field(
        None, description="where models are kept; empty: the usual place"
    )
    files: Annotated[tuple[Path, ...], BeforeValidator(_listed)] = Field(
        (), description="model files (GGUF) kept elsewhere"
    )
    context_tokens: int = Field(4096, ge=256, le=1_048_576, description="longest prompt and answer together")
    slots: int = Field(8, ge=1, le=64, description="most requests at once")
    unload_after_s: int = Field(
        600, ge=30, le=604_800, description="a model that nobody asked for gives its memory back"
    )


class Worker(Section):
    threads: int = Field(0, ge=0, le=1024, description="processor threads; 0: as many as there are cores")
    gpu_layers: int = Field(-1, ge=-1, le=10_000, description="model layers on the GPU; -1: all")
    cpus: Annotated[str, AfterValidator(_cpus)] = Field(
        "", max_length=1000, description="CPUs to run on, such as 0-3,8; empty: any. The worker is replaced"
    )
    numa: Literal["off", "distribute", "isolate", "numactl"] = Field(
        "off", description="several processor sockets: spread over all, stay on one, or as numactl set it"
    )
    mmap: bool = Field(True, description="map the model's file into memory instead of reading it")
    mlock: bool = Field(False, description="keep the model from being swapped out")
    huge_pages: bool = Field(
        False, description="ask Linux for large pages for memory that is not mapped from a file (worker.mmap false)"
    )


class Mps(Section):
    """Limits through CUDA's Multi-Process Service; they count where a GPU is used. A change replaces the worker."""

    enabled: bool = Field(False, description="run the worker as a client of the MPS daemon; Linux alone")
    thread_percent: Annotated[int, AfterValidator(_mps_percent), Allowed(PERCENT)] = Field(
        100, description="share of the GPU's threads"
    )
    memory_mib: Annotated[
        tuple[int, ...], BeforeValidator(_listed), AfterValidator(_mps_memory), Allowed(refused_memory(0))
    ] = Field((), description="GPU memory: one value for all GPUs, or one for each; empty: no limit")


class Secrets(Section):
    allow_plaintext: bool = Field(False, description="keep the node's token in a file (0600) where no keyring answers")


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="how much the agent writes")


class Settings(Section):
    """All settings of one user."""

    version: Literal[1] = VERSION
    role: Literal["desktop", "server"] = Field(
        "desktop", description="a server shares whatever happens at its keyboard"
    )
    sharing: Sharing = Sharing()
    presence: Presence = Presence()
    schedule: Schedule = Schedule()
    power: PowerSource = PowerSource()
    screen: ScreenUse = ScreenUse()
    calls: Calls = Calls()
    applications: Applications = Applications()
    gpu: GpuUse = GpuUse()
    network: Network = Network()
    work: WorkLimits = WorkLimits()
    grid: Grid = Grid()
    models: Models = Models()
    worker: Worker = Worker()
    mps: Mps = Mps()
    secrets: Secrets = Secrets()
    log: Log = Log()

    def preferences(self) -> Preferences:
        """What the policy needs; the snooze and the drain are not settings and stay at their defaults."""
        custom = self.sharing.profile == "custom"
        return Preferences(
            role=Role(self.role),
            sharing=self.sharing.enabled,
            card=Profile.AGGRESSIVE if custom else Profile[self.sharing.profile.upper()],
            at_most=Profile[self.sharing.at_most.upper()],
            custom=self.sharing.custom.limits() if custom else None,
            away_after_s=float(self.presence.away_after_s),
            while_present=Profile[self.presence.while_present.upper()],
            grid=_grid(self.schedule.grid),
            pause_on_battery=self.power.pause_on_battery,
            pause_on_fullscreen=self.screen.pause_on_fullscreen,
            fullscreen_ignored=_lower(self.screen.ignore),
            pause_in_calls=self.calls.pause,
            pause_for_games=self.gpu.pause_for_games,
            mind_metered=self.network.mind_metered,
            pause_for=_lower(self.applications.pause_for),
            gpu_limit_c=float(self.gpu.temperature_limit_c),
        )

    def flat(self) -> dict[str, Any]:
        """Dotted names to values, as they are written to the file."""
        return flatten(self.model_dump(mode="json", exclude={"version"}))


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return flat
