"""Reads the machine's signals into one `Activity`, and wakes the agent when one of them changes. Unknown stays unknown.

What tells of itself is listened to; the rest is read when it is due. Nothing is asked that costs more than it is worth:
input is waited for, not polled, and a GPU that is not shared is not looked at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from gogrid_desktop.agent.clock import Clock
from gogrid_desktop.agent.gpu_sense import GpuSense
from gogrid_desktop.agent.programs import running
from gogrid_desktop.core.activity import Activity, Preferences, is_away
from gogrid_desktop.core.idle import Idle, IdleFusion, Reading
from gogrid_desktop.core.power import ChargeTrend, Power
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.system.attention import AttentionProbe
from gogrid_desktop.system.civil_time import civil_time
from gogrid_desktop.system.idle import IdleProbe
from gogrid_desktop.system.network import NetworkProbe
from gogrid_desktop.system.power import PowerProbe
from gogrid_desktop.system.screen import ScreenProbe
from gogrid_desktop.system.session import SessionProbe

#: What costs more is read no more often: a laptop's battery may take some 10 ms to answer, and each window 0.1 ms.
POWER_EVERY_S = 5.0
SCREEN_EVERY_S = 2.0
CPU_EVERY_S = 20.0
PROGRAMS_EVERY_S = 5.0
#: What announces itself is asked anyway now and then: an announcement may be lost.
ANNOUNCED_EVERY_S = 30.0
CALLS_EVERY_S = 5.0
#: Away, without a source that tells of input: asked so often.
INPUT_EVERY_S = 1.0
#: Without a job there is nothing to yield; one that comes is reason enough to look.
READY_EVERY_S = 5.0

T = TypeVar("T")


class Cpu(Protocol):
    """`system.others_cpu`."""

    def share(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Probes:
    """What is asked; `system.host` has the real ones. `tzset`: makes the C library look which time zone it is in."""

    idle: Sequence[IdleProbe]
    power: PowerProbe
    screen: ScreenProbe
    session: SessionProbe
    attention: AttentionProbe
    network: NetworkProbe
    cpu: Cpu
    tzset: Callable[[], object]


class _Every(Generic[T]):
    """What `read` said, read anew once it is `seconds` old or was `changed`; `read` is given the time (monotonic)."""

    def __init__(self, seconds: float, read: Callable[[float], T]) -> None:
        self._seconds, self._read = seconds, read
        self._last: tuple[float, T] | None = None
        self.changed = True

    def at(self, now: float) -> T:
        if self._last is None or self.changed or now >= self._last[0] + self._seconds:
            self.changed = False
            self._last = (now, self._read(now))
        return self._last[1]


class Sensors:
    """`preferences`: what the person wants, as far as it decides what is worth reading."""

    def __init__(self, probes: Probes, gpus: GpuSense, clock: Clock, preferences: Callable[[], Preferences]) -> None:
        self._probes, self._gpus, self._clock, self._preferences = probes, gpus, clock, preferences
        self._wake: Callable[[], None] = lambda: None
        self._marking = threading.Lock()
        self._noticed: float | None = None
        self._fusion, self._trend = IdleFusion(), ChargeTrend()
        self._idle = Idle(None)
        self._away = self._told_of_input = False
        self._power = _Every(POWER_EVERY_S, self._read_power)
        self._screen = _Every(SCREEN_EVERY_S, lambda _: probes.screen.read())
        self._session = _Every(ANNOUNCED_EVERY_S, lambda _: probes.session.read())
        self._attention = _Every(CALLS_EVERY_S, lambda _: probes.attention.read())
        self._metered = _Every(ANNOUNCED_EVERY_S, lambda _: probes.network.metered())
        self._cpu = _Every(CPU_EVERY_S, lambda _: probes.cpu.share())
        self._programs = _Every(PROGRAMS_EVERY_S, lambda _: running(preferences().pause_for))

    def start(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, from any thread, when a signal changes."""
        self._wake = wake
        self._probes.session.watch(lambda: self._changed(self._session))
        self._probes.attention.watch(lambda: self._changed(self._attention))
        self._probes.network.watch(lambda: self._changed(self._metered))
        self._gpus.start(self._notice)

    def close(self) -> None:
        for probe in self._probes.idle:
            probe.close()
        self._probes.session.close()
        self._gpus.close()

    def noticed(self) -> float | None:
        """When (monotonic) the first signal came that nobody has asked about yet; None: none did. Forgets it."""
        with self._marking:
            at, self._noticed = self._noticed, None
        return at

    def read(self, jobs_running: int) -> Activity:
        """Civil time is that of the time zone in which the machine is now."""
        now, mono = self._clock.now(), self._clock.monotonic()
        self._probes.tzset()
        civil = civil_time(now)
        self._idle = self._fusion.fold([self._idle_reading(probe) for probe in self._probes.idle])
        gpus, gpu_problem = self._gpus.uses()
        activity = Activity(
            idle_s=self._idle.idle_s,
            idle_source=self._idle.source,
            weekday=civil.weekday,
            second_of_day=civil.second_of_day,
            shift=civil.shift,
            power=self._power.at(mono),
            screen=self._screen.at(mono),
            jobs_running=jobs_running,
            session=self._session.at(mono),
            attention=self._attention.at(mono),
            gpus=gpus,
            gpu_problem=gpu_problem,
            others_cpu=self._cpu.at(mono),
            metered=self._metered.at(mono),
            programs=self._programs.at(mono),
        )
        self._listen_for_input(activity)
        return activity

    def every_s(self, profile: Profile, *, working: bool, paused_by: Collection[str]) -> float:
        """How soon to read again, if nothing announces itself; asks the GPUs as often as this needs."""
        self._gpus.pace(profile, working=working, paused_by=paused_by)
        if profile is Profile.PAUSED or not working:
            return READY_EVERY_S
        told = self._idle.idle_s is None or self._told_of_input
        return INPUT_EVERY_S if self._away and not told else SCREEN_EVERY_S

    def awoke(self) -> None:
        """The computer slept, or its clock was set: nothing that was read before counts."""
        for each in (self._power, self._screen, self._session, self._attention, self._metered, self._cpu):
            each.changed = True

    def delay_sleep(self) -> None:
        """Have the system wait for us before it sleeps, from now on."""
        self._probes.session.delay_sleep()

    def let_sleep(self) -> None:
        """Our work is handed back."""
        self._probes.session.let_sleep()

    def front(self) -> str:
        """The program in front; empty where nobody can tell."""
        return self._probes.screen.front()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of sources that do not count, or do not answer."""
        return self._idle.notes + self._gpus.notes

    def _listen_for_input(self, activity: Activity) -> None:
        """Away: the first input is to reach us at once."""
        self._away = is_away(activity, self._preferences())
        if not self._away:
            self._told_of_input = False
            return
        told = {probe.name for probe in self._probes.idle if probe.notifies and probe.watch_for_input(self._notice)}
        self._told_of_input = activity.idle_source in told

    def _idle_reading(self, probe: IdleProbe) -> Reading:
        idle_s = probe.idle_s()
        return Reading(probe.name, probe.kind, idle_s, self._clock.monotonic())

    def _read_power(self, now: float) -> Power:
        power = self._probes.power.read()
        return replace(power, falling=self._trend.falls(now, power))

    def _changed(self, what: _Every[T]) -> None:
        what.changed = True
        self._notice()

    def _notice(self) -> None:
        with self._marking:
            if self._noticed is None:
                self._noticed = self._clock.monotonic()
        self._wake()
