"""Makes the days that come along, as recordings: `scripts/synthetic_days.py [FOLDER]`, resources/days by default.

Four people who do not exist, drawn from a seed: the same files every time. Nobody shares on their computers: what is
recorded is theirs alone. Times in a day's plan are hours on the wall.
"""

from __future__ import annotations

import gzip
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random

from gogrid_desktop.core.activity import Activity
from gogrid_desktop.core.attention import Attention
from gogrid_desktop.core.gpu_use import GpuUse
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.recording import Encoder, Frame, Header
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.core.session import Session
from gogrid_desktop.core.windows import DAY_S, DAYS

FOLDER = Path(__file__).parent.parent / "resources" / "days"
MONDAY = datetime(2026, 3, 2, tzinfo=timezone(timedelta(hours=1)))
GIB = 2**30
#: Seconds: how often the GPU's load is drawn anew, and the processor's; how slowly a GPU warms and cools.
LOAD_EVERY, CPU_EVERY, WARMS_S = 5, 20, 90.0


@dataclass(frozen=True)
class Span:
    """From `start` to `end` (seconds of the day) `what` holds, with a value of its own."""

    start: int
    end: int
    what: str
    value: str = ""


@dataclass(frozen=True)
class Load:
    """Others use `share` of the GPU, give or take `noise`, and hold `gib` of its memory."""

    start: int
    end: int
    share: float
    noise: float
    gib: float
    program: str


@dataclass
class Day:
    """One person's day on one computer. `memory_gib` of the GPU; `cool_c` without work, `warm_c` with all of it."""

    seed: int
    memory_gib: int
    cool_c: float
    warm_c: float
    screen_share: float = 0.02
    inputs: set[int] = field(default_factory=set)
    spans: list[Span] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    idle_at_first_s: float = 7200.0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def at(self, hour: float) -> int:
        """Nobody is on time to the second."""
        return max(0, round(hour * 3600 + self.random.uniform(-90, 90)))

    def holds(self, start: int, end: int, what: str, value: str = "") -> None:
        self.spans.append(Span(start, end, what, value))

    def works(self, start: float, end: float) -> None:
        """Bursts of keys, short looks at the screen, now and then a page that is read."""
        at, until, draw = self.at(start), self.at(end), self.random
        while at < until:
            burst = round(draw.expovariate(1 / 25)) + 2
            for second in range(at, min(at + burst, until)):
                if draw.random() < 0.55:
                    self.inputs.add(second)
            pause = draw.expovariate(1 / 140) if draw.random() < 0.12 else draw.expovariate(1 / 12)
            at += burst + round(pause) + 1
        self.inputs.add(until)

    def leaves(self, start: float, end: float) -> None:
        """Locks the screen, and unlocks it again."""
        first, last = self.at(start), self.at(end)
        self.inputs |= {first - 1, last, last + 2}
        self.holds(first, last, "locked")

    def meets(self, start: float, end: float, device: str = "microphone") -> None:
        first, last = self.at(start), self.at(end)
        self.holds(first, last, "call", device)
        self.loads.append(Load(first, last, 0.09, 0.03, 0.4, "meet"))
        at = first
        while at < last:
            self.inputs.add(at)
            at += round(self.random.uniform(10, 150))

    def watches(self, start: float, end: float, program: str = "mpv") -> None:
        """A film: the remote's few keys, and a break in the middle."""
        first, last = self.at(start), self.at(end)
        half = (first + last) // 2
        pause = round(self.random.uniform(120, 420))
        for begin, stop in ((first, half), (half + pause, last)):
            self.inputs |= {begin - 2, begin, stop, stop + 1}
            self.holds(begin, stop, "full screen", program)
            self.holds(begin, stop, "film", program)
            self.loads.append(Load(begin, stop, 0.05, 0.02, 0.3, program))

    def plays(self, start: float, end: float, share: float, gib: float, program: str = "game") -> None:
        """Rounds of a game in full screen, and a menu between them."""
        at, until, draw = self.at(start), self.at(end), self.random
        while at < until:
            stop = min(until, at + round(draw.uniform(1200, 2700)))
            self.holds(at, stop, "full screen", program)
            self.loads.append(Load(at, stop, share, 0.08, gib, program))
            self.inputs |= {second for second in range(at, stop) if draw.random() < 0.25}
            at = stop + round(draw.uniform(25, 200))
            self.loads.append(Load(stop, min(at, until), 0.12, 0.05, gib, program))

    def compiles(self, start: float, minutes: float, share: float = 0.92) -> None:
        first = self.at(start)
        self.holds(first, first + round(minutes * 60), "processor", str(share))

    def renders(self, start: float, end: float) -> None:
        self.loads.append(Load(self.at(start), self.at(end), 0.95, 0.04, 5.5, "blender"))

    def sleeps(self, start: float, end: float) -> None:
        """Whoever sends it to sleep touches it before, and whoever wakes it, after."""
        first, last = 0 if start == 0 else self.at(start), self.at(end)
        if first:
            self.inputs.add(first - 3)
            self.holds(first - 3, first + 1, "leaving", "suspend")
        self.inputs.add(last + 2)
        self.holds(first, last, "asleep")

    def frames(self, weekday: int) -> Iterator[Frame]:
        """What was sensed, at each second in which something changed."""
        asleep = sorted((span.start, span.end) for span in self.spans if span.what == "asleep")
        moments = sorted(moment for moment in self._moments() if 0 <= moment < DAY_S)
        warm, warmed_at, last_input = self.cool_c, 0, -self.idle_at_first_s
        for moment in moments:
            if any(start < moment < end for start, end in asleep):
                continue
            slept = next((end - start for start, end in asleep if end == moment), 0)
            load = 0.0 if slept else self._load(moment)
            aim = self.cool_c + (self.warm_c - self.cool_c) * load
            warm += (aim - warm) * (1 - math.exp(-(moment - warmed_at) / WARMS_S))
            warmed_at = moment
            if moment in self.inputs:
                last_input = moment
            yield Frame(float(moment), self._activity(weekday, moment, moment - last_input, warm), float(slept))

    def _moments(self) -> set[int]:
        """When something can have changed."""
        moments = {0, *self.inputs}
        for span in self.spans:
            moments |= {span.start, span.end}
            if span.what in ("processor", "battery"):
                moments |= set(range(span.start, span.end, CPU_EVERY if span.what == "processor" else 300))
        for load in self.loads:
            drawn = range(load.start - load.start % LOAD_EVERY, load.end, LOAD_EVERY)
            moments |= {load.start, load.start + 1, load.end, load.end + 1, *drawn, *(each + 1 for each in drawn)}
            moments |= set(range(load.end, load.end + 600, 10))  # it cools
        return moments

    def _load(self, moment: int) -> float:
        """What others use of the GPU; the desktop itself a little, where it draws what was typed."""
        drawn = Random(self.seed * 1_000_003 + moment // LOAD_EVERY)
        theirs = sum(one.share + drawn.uniform(-one.noise, one.noise) for one in self.loads if _in(one, moment))
        return min(1.0, max(0.0, theirs + (self.screen_share if moment in self.inputs else 0.0)))

    def _activity(self, weekday: int, moment: int, idle: float, warm: float) -> Activity:
        now = {span.what: span for span in self.spans if span.start <= moment < span.end and span.what != "asleep"}
        value: Callable[[str], str] = lambda what: now[what].value if what in now else ""  # noqa: E731
        low, high = sorted((self._load(moment - 1), self._load(moment)))
        gib = max((one.gib for one in self.loads if _in(one, moment)), default=0.0)
        foreign = round((0.5 + gib) * GIB)
        total = self.memory_gib * GIB
        busy = float(value("processor") or 0.04)
        program = next((one.program for one in self.loads if _in(one, moment)), "")
        gpu = GpuUse(0, total, total - foreign, low, high, foreign, float(round(warm)), 93.0, True, program)
        return Activity(
            idle_s=float(idle),
            idle_source="synthetic",
            weekday=weekday,
            second_of_day=float(moment),
            power=_power(now.get("battery"), moment),
            screen=Screen("full screen" in now, value("full screen")),
            session=Session(True, "locked" in now, False, "remote" in now, value("leaving")),
            attention=Attention(value("film"), False, value("call")),
            gpus=(gpu,),
            others_cpu=round(busy + Random(moment // CPU_EVERY).uniform(-0.03, 0.03), 2),
            metered="metered" in now,
        )


def _in(load: Load, moment: int) -> bool:
    return load.start <= moment < load.end


def _power(battery: Span | None, moment: int) -> Power:
    """On battery from one charge to another, "0.92 0.71"; without a battery on mains."""
    if battery is None:
        return Power(True)
    first, last = map(float, battery.value.split())
    part = (moment - battery.start) / (battery.end - battery.start)
    return Power(False, round(first + (last - first) * part, 2))


def office(seed: int) -> Day:
    """Nine to five with two meetings, a lunch, and builds; a backup at night. The computer stays on."""
    day = Day(seed, memory_gib=12, cool_c=38, warm_c=78)
    day.compiles(2.0, 25, 0.62)
    day.holds(0, day.at(8.1), "locked")
    for start, end in ((8.1, 10.0), (10.25, 10.5), (11.5, 12.1), (12.9, 14.0), (15.0, 17.3)):
        day.works(start, end)
    day.leaves(10.0, 10.25)
    day.meets(10.5, 11.5)
    day.leaves(12.1, 12.9)
    day.compiles(13.4, 12)
    day.meets(14.0, 14.75, "camera")
    day.compiles(15.6, 9)
    day.compiles(16.7, 14)
    day.inputs.add(day.at(17.32))
    day.holds(day.at(17.35), DAY_S, "locked")
    return day


def gamer(seed: int) -> Day:
    """Out by day; school work, then a game at four fifths of the GPU, a film and a last look at night."""
    day = Day(seed, memory_gib=16, cool_c=34, warm_c=84)
    day.works(7.1, 7.4)
    day.works(16.4, 17.9)
    day.plays(18.6, 20.0, 0.80, 7.5)
    day.meets(20.05, 20.3)
    day.plays(20.4, 21.6, 0.82, 7.5)
    day.watches(21.7, 23.2)
    day.works(23.25, 23.6)
    return day


def laptop(seed: int) -> Day:
    """Asleep at night; a train on battery and a metered network; meetings; a film in the evening."""
    day = Day(seed, memory_gib=8, cool_c=45, warm_c=86, screen_share=0.03)
    day.sleeps(0, 7.5)
    day.holds(day.at(7.45), day.at(8.8), "metered")
    train = day.at(8.8)
    day.holds(day.at(7.2), train, "battery", "0.93 0.70")
    day.works(7.55, 8.7)
    day.sleeps(8.75, 9.2)
    for start, end in ((9.2, 9.5), (10.0, 11.0), (11.75, 12.3), (13.2, 15.0), (15.5, 17.2)):
        day.works(start, end)
    day.meets(9.5, 10.0, "camera")
    day.meets(11.0, 11.75)
    day.leaves(12.3, 13.2)
    day.meets(15.0, 15.5, "camera")
    day.compiles(14.2, 7)
    day.sleeps(17.4, 19.1)
    day.works(19.2, 19.9)
    day.watches(20.1, 22.1)
    day.sleeps(22.6, 23.98)
    return day


def night_owl(seed: int) -> Day:
    """Works past midnight, lets a picture render until morning, sleeps late, is called in from afar."""
    day = Day(seed, memory_gib=12, cool_c=36, warm_c=80, idle_at_first_s=20.0)
    day.works(0.0, 2.2)
    day.renders(2.25, 4.6)
    day.works(11.3, 12.4)
    day.holds(day.at(13.0), day.at(13.8), "remote")
    day.works(14.2, 16.1)
    day.compiles(15.0, 18)
    day.leaves(16.15, 17.4)
    day.works(17.4, 18.2)
    day.renders(17.9, 18.15)
    day.watches(19.4, 21.5)
    day.plays(21.6, 22.2, 0.78, 6.0)
    day.works(22.3, 23.99)
    return day


#: Each with its weekday (0 = Monday) and its seed.
PEOPLE: dict[str, tuple[Callable[[int], Day], int, int]] = {
    "office": (office, 1, 20260303),
    "gamer": (gamer, 4, 20260306),
    "laptop": (laptop, 2, 20260304),
    "night-owl": (night_owl, 3, 20260305),
}


def lines(name: str) -> Iterator[str]:
    """One of the days, as the lines of its recording."""
    person, weekday, seed = PEOPLE[name]
    yield from _recorded(MONDAY + timedelta(days=weekday), [(weekday, person(seed))])


def week(seed: int, days: int = DAYS) -> Iterator[str]:
    """So many days from a Monday on: five at an office, two of the gamer's, each drawn anew."""
    made = [(office if each % DAYS < 5 else gamer)(seed + each) for each in range(days)]
    yield from _recorded(MONDAY, [(each % DAYS, day) for each, day in enumerate(made)])


def _recorded(started: datetime, days: list[tuple[int, Day]]) -> Iterator[str]:
    encoder = Encoder(Header(started))
    yield encoder.header()
    for number, (weekday, day) in enumerate(days):
        for frame in day.frames(weekday):
            line = encoder.line(number * DAY_S + frame.t, frame.activity, frame.slept_s)
            if line is not None:
                yield line
    yield encoder.end(float(len(days) * DAY_S))


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name in PEOPLE:
        text = "".join(f"{line}\n" for line in lines(name))
        packed = gzip.compress(text.encode(), 9, mtime=0)
        (folder / f"{name}.jsonl.gz").write_bytes(packed)
        print(f"{name}: {text.count(chr(10)):,} lines, {len(packed) / 1024:.0f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
