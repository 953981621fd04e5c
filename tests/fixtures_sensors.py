"""Sources of signals that say what a test tells them to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gogrid_desktop.agent.gpu_sense import GpuSense, Lent
from gogrid_desktop.agent.sensors import Probes
from gogrid_desktop.core.attention import Attention
from gogrid_desktop.core.idle import Kind
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.core.session import Session
from gogrid_desktop.system import host
from gogrid_desktop.system.gpu import GpuReading


@dataclass
class Said:
    """Every source in one; `reads` counts what was asked, `changed` tells that something changed."""

    name = "test"
    kind = Kind.COUNTER
    notifies = True
    idle: float | None = None
    power: Power = field(default_factory=lambda: Power(True))
    screen: Screen = field(default_factory=lambda: Screen(False))
    session: Session = field(default_factory=lambda: Session(active=True))
    attention: Attention = field(default_factory=Attention)
    network_metered: bool | None = None
    cpu: float | None = None
    in_front: str = ""
    reads: dict[str, int] = field(default_factory=dict)
    watchers: list[Callable[[], None]] = field(default_factory=list)
    input_heard: Callable[[], None] | None = None
    sleep_delayed: bool = False

    def probes(self) -> Probes:
        said = self

        class Of:
            name = "test"

            def __init__(self, what: str) -> None:
                self._what = what

            def read(self) -> object:
                said.reads[self._what] = said.reads.get(self._what, 0) + 1
                return getattr(said, self._what)

            metered = share = read

            def front(self) -> str:
                return said.in_front

            def watch(self, changed: Callable[[], None]) -> None:
                said.watchers.append(changed)

            def delay_sleep(self) -> bool:
                said.sleep_delayed = True
                return True

            def let_sleep(self) -> None:
                said.sleep_delayed = False

            def close(self) -> None:
                """Nothing is open."""

        one: dict[str, Of] = {
            name: Of(name) for name in ("power", "screen", "session", "attention", "network_metered", "cpu")
        }
        return Probes(
            (self,),
            one["power"],  # type: ignore[arg-type]
            one["screen"],  # type: ignore[arg-type]
            one["session"],  # type: ignore[arg-type]
            one["attention"],  # type: ignore[arg-type]
            one["network_metered"],  # type: ignore[arg-type]
            one["cpu"],  # type: ignore[arg-type]
            host.tzset(),
        )

    def changed(self) -> None:
        """Tell all who watch."""
        for watcher in self.watchers:
            watcher()

    def idle_s(self) -> float | None:
        return self.idle

    def watch_for_input(self, heard: Callable[[], None]) -> bool:
        self.input_heard = heard
        return self.notifies

    def close(self) -> None:
        """Nothing is open."""


class Gpus:
    """GPUs that say `latest`; `every_s` is how often they are asked."""

    name = "test"

    def __init__(self) -> None:
        self.latest = GpuReading(problem="no GPU in this test")
        self.every_s: float | None = None
        self.heard: Callable[[GpuReading], None] = lambda _: None

    def read(self) -> GpuReading:
        return self.latest

    def watch(self, every_s: float | None, heard: Callable[[GpuReading], None]) -> None:
        self.every_s, self.heard = every_s, heard

    def close(self) -> None:
        """Nothing is open."""


def sense(gpus: Gpus, workers: tuple[int, ...] = (), lent: Lent | None = None) -> GpuSense:
    return GpuSense(gpus, lambda: workers, lambda: lent or Lent())
