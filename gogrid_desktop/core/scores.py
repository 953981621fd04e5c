"""How good a day was, in figures: how much was shared, and at whose expense.

Intrusion is judged by what was sensed alone, not by what the settings say of it, so that settings can be compared: what
somebody allows on purpose counts too. It does not see how long sensing itself takes; the agent measures that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from gogrid_desktop.core.activity import Activity, Preferences, Role
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.recording import Recording
from gogrid_desktop.core.replay import ASLEEP, Band, Step, as_recorded, bands, steps

#: Input so recent: they sit there. (For a full screen, a film, a game or a call nobody has to touch anything.)
PRESENT_S = 10.0
#: Of a GPU's time: used so much by others, it is theirs.
THEIR_GPU = 0.40
#: A rise that is undone so soon was none.
FLAP_S = 120.0
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Scores:
    """Hours are of the whole recording.

    `gpu_hours`: the compute share that was given, summed over the time in which new work was welcome; of one GPU, and
    used only as far as there is work. `in_profile`: hours by profile, gentlest first, `asleep` apart. `held_by`: hours
    below the highest profile by the rule that bound, most first. `intrusion_s`: more was given than what the person did
    bears (see `bearable`); `worst_wait_s`: the longest of it in one piece. `lowered`, `raised`: changes of profile;
    `flaps`: rises undone within two minutes; `busiest_hour`: the most changes within an hour.
    """

    hours: float
    asleep: float
    gpu_hours: float
    in_profile: tuple[float, float, float, float]
    held_by: tuple[tuple[str, float], ...]
    intrusion_s: float
    worst_wait_s: float
    lowered: int
    raised: int
    flaps: int
    busiest_hour: int


def bearable(activity: Activity, role: Role) -> Profile:
    """The most that may be given without intruding on anybody."""
    at_desk, attention = role is Role.DESKTOP, activity.attention
    if attention.game_mode or any((gpu.foreign_low or 0.0) >= THEIR_GPU for gpu in activity.gpus):
        return Profile.PAUSED
    if at_desk and (activity.screen.fullscreen or attention.inhibitor or attention.call):
        return Profile.PAUSED
    if any((gpu.foreign_high or 0.0) >= THEIR_GPU for gpu in activity.gpus):
        return Profile.CONSERVATIVE
    if at_desk and activity.idle_s is not None and activity.idle_s < PRESENT_S:
        return Profile.CONSERVATIVE
    return Profile.AGGRESSIVE


class Tally:
    """Counts steps, in order."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self._gpu_s = self._asleep_s = self._all_s = 0.0
        self._in_profile = [0.0] * len(Profile)
        self._profile: Profile | None = None
        self._lowered = self._raised = self._flaps = self._busiest = 0
        self._rises: list[tuple[float, Profile]] = []  # not yet known to last
        self._changes: deque[float] = deque()  # of the last hour
        self._intrusion_s = self._worst_s = 0.0
        self._since: tuple[float, float] | None = None  # the intrusion that goes on: from, until

    def counted(self, steps: Iterable[Step]) -> Iterator[Step]:
        """The same steps, each counted on its way."""
        for step in steps:
            self._take(step)
            yield step

    def _take(self, step: Step) -> None:
        lasted_s = step.t1 - step.t0
        self._all_s += lasted_s
        if step.decision is None:
            self._asleep_s += lasted_s
            return
        self._in_profile[step.profile] += lasted_s
        if step.decision.accept_leases:
            self._gpu_s += step.compute_share * lasted_s
        self._count_change(step.t0, step.profile)
        self._count_intrusion(step)

    def scores(self, held_by: Iterable[tuple[str, float]]) -> Scores:
        paused, conservative, balanced, aggressive = (seconds / HOUR_S for seconds in self._in_profile)
        return Scores(
            hours=self._all_s / HOUR_S,
            asleep=self._asleep_s / HOUR_S,
            gpu_hours=self._gpu_s / HOUR_S,
            in_profile=(paused, conservative, balanced, aggressive),
            held_by=tuple(held_by),
            intrusion_s=self._intrusion_s,
            worst_wait_s=self._worst_s,
            lowered=self._lowered,
            raised=self._raised,
            flaps=self._flaps,
            busiest_hour=self._busiest,
        )

    def _count_change(self, at: float, profile: Profile) -> None:
        before, self._profile = self._profile, profile
        if before is None or profile is before:
            return
        self._changes.append(at)
        while self._changes[0] <= at - HOUR_S:
            self._changes.popleft()
        self._busiest = max(self._busiest, len(self._changes))
        recent = [rise for rise in self._rises if rise[0] >= at - FLAP_S]
        if profile > before:
            self._raised += 1
            self._rises = [*recent, (at, profile)]
        else:
            self._lowered += 1
            self._rises = [rise for rise in recent if rise[1] <= profile]
            self._flaps += len(recent) - len(self._rises)

    def _count_intrusion(self, step: Step) -> None:
        if step.profile <= bearable(step.activity, self._role):
            return
        ends = step.t1
        idle_s = step.activity.idle_s
        if idle_s is not None and step.profile <= bearable(replace(step.activity, idle_s=None), self._role):
            ends = min(ends, step.t0 + PRESENT_S - idle_s)  # it was their being there alone, which ages
        self._intrusion_s += ends - step.t0
        goes_on = self._since is not None and self._since[1] == step.t0
        began = self._since[0] if goes_on and self._since is not None else step.t0
        self._since = (began, ends)
        self._worst_s = max(self._worst_s, ends - began)


def judge(recording: Recording, preferences: Preferences) -> tuple[tuple[Band, ...], Scores]:
    """What would have been given over a recording, and how good that would have been."""
    wanted = as_recorded(preferences, recording)
    tally = Tally(wanted.role)
    given = tuple(bands(tally.counted(steps(recording.frames, wanted))))
    return given, tally.scores(_held_by(given))


def _held_by(given: Iterable[Band]) -> list[tuple[str, float]]:
    """Hours below the highest profile by the rule that bound, most first; sleep is nobody's rule."""
    hours: dict[str, float] = {}
    for band in given:
        if band.profile < Profile.AGGRESSIVE and band.rule != ASLEEP:
            hours[band.rule] = hours.get(band.rule, 0.0) + (band.t1 - band.t0) / HOUR_S
    return sorted(hours.items(), key=lambda item: -item[1])
