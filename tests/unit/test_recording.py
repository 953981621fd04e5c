"""Recordings: what goes in comes out, names stay out, and what is broken is named by its line."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from fixtures_policy import GIB, activities, unhurried
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.core.activity import Activity, Role
from gogrid_desktop.core.attention import Attention
from gogrid_desktop.core.gpu_use import GpuUse
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.recording import (
    CIVIL_SLACK_S,
    CUT_OFF,
    IDLE_SLACK_S,
    Encoder,
    Frame,
    Header,
    Recording,
    RecordingError,
    decode,
    encode,
)
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.core.windows import DAY_S, DAYS

STARTED = datetime(2026, 3, 4, 8, 30, tzinfo=timezone(timedelta(hours=1)))
HEADER = Header(STARTED, names=True)
SEEN = Activity(3.0, "x11", 2, 8.5 * 3600, Power(True), Screen(False))

#: Looks at whole tenths of seconds, each with what part of the time before was slept.
recordings = st.lists(
    st.tuples(st.integers(0, 40_000), st.sampled_from([0.0, 0.0, 0.5, 1.0]), activities), min_size=1, max_size=8
)


def recorded(looks: list[tuple[int, float, Activity]]) -> Recording:
    t, frames = 0.0, []
    for tenths, part, activity in looks:
        t = round(t + tenths / 10, 1)
        frames.append(Frame(t, activity, int(part * tenths) / 10))
    return Recording(HEADER, tuple(frames))


def rounded(seen: Activity) -> Activity:
    """What a recording keeps, but for idle time and civil time."""

    def two(value: float | None) -> float | None:
        return None if value is None else round(value, 2)

    return replace(
        seen,
        others_cpu=two(seen.others_cpu),
        gpus=tuple(
            replace(
                gpu,
                foreign_low=two(gpu.foreign_low),
                foreign_high=two(gpu.foreign_high),
                temperature_c=None if gpu.temperature_c is None else round(gpu.temperature_c),
            )
            for gpu in seen.gpus
        ),
        other_agent="another user" if seen.other_agent else "",
    )


def of_week(seen: Activity) -> float:
    return seen.weekday * DAY_S + seen.second_of_day


@unhurried
@given(recordings)
def test_what_was_recorded_is_read_again(looks: list[tuple[int, float, Activity]]) -> None:
    before = recorded(looks)
    after = decode(encode(before))
    assert after.header == before.header and after.note == ""
    assert after.seconds == before.seconds
    assert sum(frame.slept_s for frame in after.frames) == pytest.approx(sum(frame.slept_s for frame in before.frames))
    for frame in before.frames:
        known = [each for each in after.frames if each.t <= frame.t][-1]
        if frame.t in [each.t for each in before.frames if each is not frame]:
            continue  # of several looks in a tenth of a second, the last one stays
        read, seen = known.activity.after(frame.t - known.t), rounded(frame.activity)
        assert (read.idle_s is None) == (seen.idle_s is None)
        assert read.idle_s is None or abs(read.idle_s - (seen.idle_s or 0)) <= IDLE_SLACK_S + 0.1
        apart_s = (of_week(read) - of_week(seen)) % (DAYS * DAY_S)
        assert min(apart_s, DAYS * DAY_S - apart_s) <= CIVIL_SLACK_S + 0.1
        same_time = {"idle_s": None, "weekday": 0, "second_of_day": 0.0}
        assert replace(read, **same_time) == replace(seen, **same_time)


@unhurried
@given(recordings)
def test_recording_what_was_read_changes_nothing_any_more(looks: list[tuple[int, float, Activity]]) -> None:
    once = list(encode(decode(encode(recorded(looks)))))
    assert list(encode(decode(once))) == once


def test_where_nothing_but_time_passes_nothing_is_written() -> None:
    encoder = Encoder(HEADER)
    first = encoder.line(0.0, SEEN)
    assert first is not None and json.loads(first)["power.mains"] is True
    for second in range(1, 3600):
        assert encoder.line(second + 0.04, SEEN.after(second + 0.03)) is None
    assert json.loads(encoder.line(3600.0, replace(SEEN.after(3600), idle_s=0.2)) or "") == {"t": 3600.0, "idle_s": 0.2}
    assert json.loads(encoder.end(3601.0)) == {"t": 3601.0}


def test_the_night_in_which_clocks_change_is_told() -> None:
    encoder = Encoder(HEADER)
    encoder.line(0.0, SEEN)
    told = json.loads(encoder.line(1.0, replace(SEEN, idle_s=4.0, second_of_day=9.5 * 3600)) or "")
    assert told == {"t": 1.0, "second_of_day": 9.5 * 3600}


def test_without_names_programs_are_numbers_and_people_nobody() -> None:
    gpu = GpuUse(0, 8 * GIB, 6 * GIB, 0.5, 0.5, program="Diary-of-Ann")
    seen = replace(
        SEEN,
        screen=Screen(True, "diary-of-ann"),
        attention=Attention("Ann's film"),
        gpus=(gpu,),
        programs=frozenset({"zoom", "diary-of-ann"}),
        other_agent="ann",
    )
    lines = list(encode(Recording(replace(HEADER, names=False), (Frame(0.0, seen),))))
    assert not any(name in "".join(lines).lower() for name in ("ann", "diary", "zoom"))
    read = decode(lines).frames[0].activity
    assert read.screen.program == read.gpus[0].program == "program 1"
    assert read.attention.inhibitor == "program 2"
    assert read.programs == {"program 1", "program 3"}
    assert read.other_agent == "another user"


GOOD = [*encode(Recording(HEADER, (Frame(0.0, SEEN), Frame(60.0, replace(SEEN, idle_s=0.0)))))]


@pytest.mark.parametrize(
    ("number", "line", "problem"),
    [
        (1, "", "no header"),
        (1, '{"t": 0}', "no header"),
        (1, '["gogrid_recording"]', "no header"),
        (1, '{"gogrid_recording": 1, "started": "yesterday", "role": "desktop", "names": false}', "lacks its start"),
        (1, '{"gogrid_recording": 1, "started": "2026-03-04T08:30:00", "role": "server", "names": true}', "offset"),
        (1, '{"gogrid_recording": 2}', "version 2"),
        (2, '{"t": 0, "idle', "no JSON"),
        (2, "", "no JSON"),
        (2, "[]", "no time"),
        (2, '{"idle_s": 4}', "no time"),
        (2, '{"t": -1}', "no time"),
        (2, '{"t": true}', "no time"),
        (2, '{"t": 61}', "backwards"),
        (2, '{"t": 5, "slept_s": 6}', "slept"),
        (2, '{"t": 0, "window_title": "Diary"}', "no field window_title"),
        (2, '{"t": 0, "idle_s": -4}', "idle_s cannot be -4"),
        (2, '{"t": 0, "idle_s": NaN}', "idle_s cannot be nan"),
        (2, '{"t": 0, "power.mains": 1}', "power.mains cannot be 1"),
        (2, '{"t": 0, "power.volts": 12}', "no field power.volts"),
        (2, '{"t": 0, "programs": "zoom"}', "programs cannot be"),
        (2, '{"t": 0, "gpu.0.foreign_low": 0.5}', "no GPU that is there"),
        (2, '{"t": 0, "gpus": 1, "gpu.x.index": 0}', "no GPU that is there"),
        (2, '{"t": 0, "gpus": 1, "gpu.0.foreign_low": 50}', "gpu.foreign_low cannot be 50"),
        (2, '{"t": 0, "gpus": 1000000}', "gpus cannot be"),
        (2, '{"t": 0, "session.leaving": "home"}', "session.leaving cannot be"),
    ],
)
def test_a_broken_line_is_named_with_what_to_do(number: int, line: str, problem: str) -> None:
    lines = list(GOOD)
    lines[number - 1] = line
    with pytest.raises(RecordingError, match=problem) as caught:
        decode(lines)
    wrong_at = 3 if problem == "backwards" else number
    assert caught.value.line == wrong_at and caught.value.remedy
    assert str(caught.value).startswith(f"Line {wrong_at}: ")


def test_a_cut_off_last_line_is_a_note_and_anywhere_else_an_error() -> None:
    cut = [*GOOD[:-1], GOOD[-1][:-3]]
    read = decode(cut)
    assert read.note == CUT_OFF
    assert len(read.frames) == len(GOOD) - 2


@pytest.mark.parametrize("lines", [[], GOOD[:1], [GOOD[0], GOOD[1][:9]]])
def test_a_recording_of_nothing_is_an_error(lines: list[str]) -> None:
    with pytest.raises(RecordingError):
        decode(lines)


def test_the_role_is_kept() -> None:
    assert decode(encode(Recording(Header(STARTED, Role.SERVER), (Frame(0.0, SEEN),)))).header.role is Role.SERVER
