"""What was sensed over a day, as lines of JSON: a header, then a line for each second in which something changed.

    {"gogrid_recording": 1, "started": "2026-03-02T00:00:00+01:00", "role": "desktop", "names": false}
    {"t": 0.0, "idle_s": 12.0, "power.mains": true, "gpus": 1, "gpu.0.total_bytes": 12884901888}
    {"t": 4.0, "idle_s": 0.0}

`t` is in seconds since the start, one decimal; idle time and civil time go on by themselves and are told only where
they do not. `slept_s`: of the time since the line before, for so long the computer slept, up to this line. The last
line says when the recording ended. What a person would not want to show is not in it: programs are numbers, unless
names were asked for, and another user is "another user". Fields are those of `recorded_fields`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from gogrid_desktop.core.activity import Activity, Role
from gogrid_desktop.core.gpu_use import GpuUse
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.recorded_fields import FieldError, Value, changed, changes
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.core.windows import DAY_S, DAYS

VERSION = 1
#: What differs by no more from what time alone would have made of it is not told again.
IDLE_SLACK_S, CIVIL_SLACK_S = 0.5, 1.0
#: Memory is told in such steps: its noise would fill the file.
MEMORY_STEP_BYTES = 64 * 2**20
SOMEBODY = "another user"
CUT_OFF = "The last line is cut off, and was left out."

_ANEW = "Record anew."
_REMOVE = "Remove the line, or record anew."


class RecordingError(ValueError):
    """`line` of the file (1 is the header) cannot be read; `problem` is a sentence, `remedy` too."""

    def __init__(self, line: int, problem: str, remedy: str = _REMOVE) -> None:
        super().__init__(f"Line {line}: {problem}. {remedy}")
        self.line, self.problem, self.remedy = line, problem, remedy


@dataclass(frozen=True, slots=True)
class Header:
    """`started`: civil time with its offset from UTC. `names`: programs have their names."""

    started: datetime
    role: Role = Role.DESKTOP
    names: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """What was sensed `t` seconds after the start, and holds until the next frame but for the time that passes.

    `slept_s`: the computer slept for so long, up to `t`.
    """

    t: float
    activity: Activity
    slept_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Recording:
    """`frames` in order; the last one says when it ended. `note`: what the reader should know, often empty."""

    header: Header
    frames: tuple[Frame, ...]
    note: str = ""

    @property
    def seconds(self) -> float:
        return self.frames[-1].t

    @property
    def to_pause_for(self) -> frozenset[str]:
        """Programs that were to be paused for when it was recorded."""
        return frozenset().union(*(frame.activity.programs for frame in self.frames))


class Encoder:
    """Makes the lines, without their ends, one look after the other."""

    def __init__(self, header: Header) -> None:
        self._header, self._known = header, Frame(0.0, _blank(header))
        self._numbers: dict[str, str] = {}
        self._first = True

    def header(self) -> str:
        said = self._header
        started = said.started.isoformat(timespec="seconds")
        return json.dumps({"gogrid_recording": VERSION, "started": started, "role": said.role, "names": said.names})

    def line(self, t: float, activity: Activity, slept_s: float = 0.0) -> str | None:
        """What is to be written of this look; None where nothing changed."""
        t, slept_s = max(round(t, 1), self._known.t), round(slept_s, 1)
        expected = self._known.activity.after(t - self._known.t)
        told = changes(expected, _as_expected(self._told(activity), expected))
        if not told and not slept_s and not self._first:
            return None
        return self._write(t, changed(expected, told), {"slept_s": slept_s, **told} if slept_s else told)

    def end(self, t: float) -> str:
        """The last line: so long it went on."""
        t = max(round(t, 1), self._known.t)
        return self._write(t, self._known.activity.after(t - self._known.t), {})

    def _write(self, t: float, activity: Activity, told: Mapping[str, Value]) -> str:
        self._known, self._first = Frame(t, activity), False
        return json.dumps({"t": t, **told}, separators=(",", ":"))

    def _told(self, activity: Activity) -> Activity:
        """Rounded, and without names."""
        seen = activity
        return replace(
            seen,
            idle_s=_rounded(seen.idle_s, 1),
            second_of_day=round(seen.second_of_day, 1),
            others_cpu=_rounded(seen.others_cpu, 2),
            power=replace(seen.power, charge=_rounded(seen.power.charge, 2)),
            screen=replace(seen.screen, program=self._name(seen.screen.program)),
            attention=replace(
                seen.attention,
                inhibitor=None if seen.attention.inhibitor is None else self._name(seen.attention.inhibitor),
            ),
            gpus=tuple(self._gpu(gpu) for gpu in seen.gpus),
            programs=frozenset(map(self._name, sorted(seen.programs))),
            other_agent=SOMEBODY if seen.other_agent else "",
        )

    def _gpu(self, gpu: GpuUse) -> GpuUse:
        return replace(
            gpu,
            free_bytes=_stepped(gpu.free_bytes),
            foreign_low=_rounded(gpu.foreign_low, 2),
            foreign_high=_rounded(gpu.foreign_high, 2),
            foreign_bytes=None if gpu.foreign_bytes is None else _stepped(gpu.foreign_bytes),
            temperature_c=_rounded(gpu.temperature_c, 0),
            slowdown_c=_rounded(gpu.slowdown_c, 0),
            program=self._name(gpu.program),
        )

    def _name(self, program: str) -> str:
        if not program or self._header.names:
            return program
        return self._numbers.setdefault(program.lower(), f"program {len(self._numbers) + 1}")


def decode(lines: Iterable[str]) -> Recording:
    """Read a recording. Raises RecordingError; that the last line is cut off is no error but a note."""
    numbered = enumerate(lines, start=1)
    header = _header(next(numbered, (1, ""))[1])
    frames: list[Frame] = []
    known = Frame(0.0, _blank(header))
    cut_off: RecordingError | None = None
    for number, line in numbered:
        if cut_off is not None:
            raise cut_off
        try:
            told = json.loads(line)
        except ValueError:
            cut_off = RecordingError(number, "it is no JSON")
            continue
        known = _frame(known, told, number)
        frames.append(known)
    if not frames:
        raise RecordingError(2, "nothing was recorded", _ANEW)
    return Recording(header, tuple(frames), CUT_OFF if cut_off else "")


def encode(recording: Recording) -> Iterator[str]:
    """All lines of a recording."""
    encoder = Encoder(recording.header)
    yield encoder.header()
    for frame in recording.frames:
        line = encoder.line(frame.t, frame.activity, frame.slept_s)
        if line is not None:
            yield line
    yield encoder.end(recording.seconds)


def _header(line: str) -> Header:
    try:
        said = json.loads(line)
    except ValueError:
        said = None
    version = said.get("gogrid_recording") if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(version, int) or isinstance(version, bool):
        raise RecordingError(1, "this is no header of a recording", "Choose a file made by: gogrid record")
    if version > VERSION:
        raise RecordingError(1, f"it is of version {version}, and this GoGrid knows {VERSION}", "Update GoGrid.")
    try:
        started, role, names = datetime.fromisoformat(said["started"]), Role(said["role"]), said["names"]
    except (KeyError, TypeError, ValueError) as error:
        raise RecordingError(1, "the header lacks its start or its role", _ANEW) from error
    if started.tzinfo is None or not isinstance(names, bool):
        raise RecordingError(1, "the header lacks its offset from UTC or says nothing of names", _ANEW)
    return Header(started, role, names)


def _frame(known: Frame, told: object, number: int) -> Frame:
    if not isinstance(told, dict) or not _time(told.get("t")):
        raise RecordingError(number, "it has no time")
    t, slept_s = float(told.pop("t")), told.pop("slept_s", 0.0)
    if t < known.t:
        raise RecordingError(number, f"time goes backwards, from {known.t} to {t}")
    if not _time(slept_s) or slept_s > t - known.t + 0.05:
        raise RecordingError(number, f"it cannot have slept for {slept_s!r} s")
    try:
        return Frame(t, changed(known.activity.after(t - known.t), told), min(float(slept_s), t - known.t))
    except FieldError as error:
        raise RecordingError(number, str(error)) from error


def _time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _as_expected(now: Activity, expected: Activity) -> Activity:
    """`now`, but idle time and civil time as expected where they are so nearly."""
    if now.idle_s is not None and expected.idle_s is not None and abs(now.idle_s - expected.idle_s) <= IDLE_SLACK_S:
        now = replace(now, idle_s=expected.idle_s)
    week_s = DAYS * DAY_S
    days, seconds = now.weekday - expected.weekday, now.second_of_day - expected.second_of_day
    apart_s = (days * DAY_S + seconds) % week_s
    if min(apart_s, week_s - apart_s) <= CIVIL_SLACK_S:
        now = replace(now, weekday=expected.weekday, second_of_day=expected.second_of_day)
    return now


def _blank(header: Header) -> Activity:
    """Nothing is known but the time."""
    civil = header.started
    second_of_day = civil.hour * 3600 + civil.minute * 60 + civil.second
    return Activity(None, "", civil.weekday(), float(second_of_day), Power(None), Screen(None))


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _stepped(size_bytes: int) -> int:
    return round(size_bytes / MEMORY_STEP_BYTES) * MEMORY_STEP_BYTES
