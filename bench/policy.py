"""What a decision costs, and how fast recorded time is replayed: a week, and a whole year of 1 Hz looks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from statistics import median

from bench.claim import Claim, note
from gogrid_desktop.core.activity import Activity, Preferences
from gogrid_desktop.core.attention import Attention
from gogrid_desktop.core.gpu_use import GpuUse
from gogrid_desktop.core.policy import Memory, decide
from gogrid_desktop.core.power import Power
from gogrid_desktop.core.recording import Recording, decode
from gogrid_desktop.core.scores import judge
from gogrid_desktop.core.screen import Screen
from gogrid_desktop.core.session import Session
from gogrid_desktop.core.windows import DAY_S, DAYS
from scripts.synthetic_days import week

BATCHES, BATCH = 300, 100
MOST_US, WEEK_S, YEAR_S = 15.0, 10.0, 20 * 60.0
YEAR_DAYS = 365
SEED = 20260302

GIB = 2**30
SEEN = Activity(
    5.0,
    "x11",
    2,
    43200.0,
    Power(True),
    Screen(False),
    session=Session(True, False, False, False),
    attention=Attention("", False, ""),
    gpus=(GpuUse(0, 8 * GIB, 6 * GIB, 0.02, 0.03, 2 * GIB, 50.0, 93.0, True, "firefox"),),
    others_cpu=0.1,
    metered=False,
)


def claims() -> Iterator[Claim]:
    silent_us, read_us = _decisions_us()
    yield Claim("policy, a decision, median", round(silent_us, 1), "us", f"<= {MOST_US:g} us", silent_us <= MOST_US)
    yield Claim("policy, a decision and its sentences, median", round(read_us, 1), "us", "reported", True)
    lines = list(week(SEED))
    began = time.perf_counter()
    recording = decode(lines)
    given, scores = judge(recording, Preferences())
    took_s = time.perf_counter() - began
    note(f"a synthetic week: {len(lines):,} lines, {len(given)} bands; {scores}")
    yield Claim("policy, a week read, replayed and scored", round(took_s, 2), "s", f"< {WEEK_S:g} s", took_s < WEEK_S)
    yield from _year(recording)


def _decisions_us() -> tuple[float, float]:
    """Of one with its sentences never read, and of one whose reasons and outlook are."""
    preferences, memory, now = Preferences(), Memory(), 0.0
    for _ in range(10):
        memory, now = decide(SEEN, preferences, memory, now).memory, now + 60
    silent, read = [], []
    for _ in range(BATCHES):
        began = time.perf_counter_ns()
        for _ in range(BATCH):
            decide(SEEN, preferences, memory, now)
        silent.append((time.perf_counter_ns() - began) / 1000 / BATCH)
        began = time.perf_counter_ns()
        for _ in range(BATCH // 10):
            decision = decide(SEEN, preferences, memory, now)
            _ = decision.reasons, decision.what_next
        read.append((time.perf_counter_ns() - began) / 1000 / (BATCH // 10))
    return median(silent), median(read)


def _year(recording: Recording) -> Iterator[Claim]:
    """The year is the week again and again; at 1 Hz a week is measured, and the year reckoned from it."""
    began = time.perf_counter()
    changes = _every_second(recording)
    weekly_s = time.perf_counter() - began
    year_s = weekly_s * YEAR_DAYS / DAYS
    note(f"a week asked at every second took {weekly_s:.1f} s, and its profile changed {changes} times")
    yield Claim("policy, a year at 1 Hz, from a week", round(year_s), "s", f"< {YEAR_S:g} s", year_s < YEAR_S)
    weeks = YEAR_DAYS // DAYS + 1
    year = _again(recording, weeks)
    began = time.perf_counter()
    _, scores = judge(year, Preferences())
    took_s = time.perf_counter() - began
    note(f"{weeks} weeks, asked when something changed: {took_s:.0f} s; {scores}")
    yield Claim("policy, a year replayed at its changes", round(took_s), "s", f"< {YEAR_S:g} s", took_s < YEAR_S)


def _every_second(recording: Recording) -> int:
    preferences, memory, changes = Preferences(), Memory(), 0
    for frame, following in pairwise(recording.frames):
        for second in range(int(frame.t), int(following.t)):
            decision = decide(frame.activity.after(second - frame.t), preferences, memory, float(second))
            changes += memory.profile is not decision.profile
            memory = decision.memory
    return changes


def _again(recording: Recording, weeks: int) -> Recording:
    whole_s = DAYS * DAY_S
    frames = [replace(one, t=one.t + number * whole_s) for number in range(weeks) for one in recording.frames[:-1]]
    return replace(recording, frames=(*frames, replace(recording.frames[-1], t=float(weeks * whole_s))))
