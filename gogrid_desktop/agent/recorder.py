"""Records what the sensors see, once a second, as long as somebody wants it to; it decides nothing, lends nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from gogrid_desktop.agent.clock import Clock
from gogrid_desktop.agent.governor import CLOCK_GAP_S
from gogrid_desktop.agent.sensors import Sensors
from gogrid_desktop.core.activity import Role
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.recording import Encoder, Header

EVERY_S = 1.0
#: So much between two looks was sleep, where the clock that never jumps goes on through it.
STALLED_S = 30.0


def began(clock: Clock, role: Role, *, names: bool) -> Header:
    """The header of a recording that starts now."""
    return Header(datetime.fromtimestamp(int(clock.now())).astimezone(), role, names)


class Recorder:
    """`write` takes each line; `jobs` says how many jobs an agent beside us runs."""

    def __init__(
        self, sensors: Sensors, clock: Clock, encoder: Encoder, write: Callable[[str], None], jobs: Callable[[], int]
    ) -> None:
        self._sensors, self._clock, self._encoder, self._write, self._jobs = sensors, clock, encoder, write, jobs
        self._t = 0.0
        self._last: tuple[float, float] | None = None

    def run(self, seconds: float | None, stopped: Callable[[float], bool]) -> float:
        """Look until `seconds` have passed (None: for ever) or `stopped`, which waits for so long at most. How long."""
        self._sensors.start(lambda: None)
        try:
            self._write(self._encoder.header())
            while True:
                self._look()
                left_s = EVERY_S if seconds is None else min(EVERY_S, seconds - self._t)
                if left_s <= 0 or stopped(left_s):
                    break
            self._pass_time()
            self._write(self._encoder.end(self._t))
        finally:
            self._sensors.close()
        return self._t

    def _look(self) -> None:
        slept_s = self._pass_time()
        activity = self._sensors.read(self._jobs())
        # As an agent would look that is ready: not through a driver that keeps a laptop's GPU awake on battery.
        looks = Profile.PAUSED if activity.power.mains is False else Profile.CONSERVATIVE
        self._sensors.every_s(looks, working=False, paused_by=("power",))
        line = self._encoder.line(self._t, activity, slept_s)
        if line is not None:
            self._write(line)

    def _pass_time(self) -> float:
        """For how long of the time since the last look the computer slept; a clock set ahead looks the same."""
        now, mono = self._clock.now(), self._clock.monotonic()
        before, self._last = self._last, (now, mono)
        if before is None:
            return 0.0
        passed_s, on_the_wall_s = mono - before[1], now - before[0]
        slept_s = passed_s - EVERY_S if passed_s > STALLED_S else 0.0
        if on_the_wall_s > passed_s + CLOCK_GAP_S:
            slept_s += on_the_wall_s - passed_s
            passed_s = on_the_wall_s
        if slept_s or on_the_wall_s < passed_s - CLOCK_GAP_S:
            self._sensors.awoke()
        self._t += passed_s
        return slept_s
