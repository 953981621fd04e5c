"""A replayed recording as a picture (SVG): what was given over what was sensed, and the scores.

Colours are of the palette of Okabe and Ito, which people with any kind of colour vision tell apart; height says the
same again. It brings its own ground, light or dark as the reader's system is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from xml.sax.saxutils import escape

from gogrid_desktop.core.activity import Activity
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.recording import Recording
from gogrid_desktop.core.replay import ASLEEP, Band
from gogrid_desktop.core.scores import PRESENT_S, Scores

WIDTH, LEFT, RIGHT = 1000, 124, 24
BANDS_TOP, BANDS_HIGH = 116, 96
ROW_HIGH, ROW_GAP = 20, 8
COOL_C, HOT_C = 30.0, 90.0
_COLOURS = {
    Profile.PAUSED: "#999999",
    Profile.CONSERVATIVE: "#56b4e9",
    Profile.BALANCED: "#009e73",
    Profile.AGGRESSIVE: "#e69f00",
}
_ASLEEP, _VEIL = "#999999", 0.3
_TICKS_S = (60, 300, 900, 3600, 2 * 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600)
_STYLE = (
    "@media (prefers-color-scheme: dark) {"
    " .page { fill: #0d1117 } .ink { fill: #e6edf3 } .pale { fill: #a5adb6 } .line { stroke: #3d444d }"
    " .signal { fill: #b3c0cf } .ground { fill: #1b222b } }"
)
#: How much of a row's height a moment fills, 0..1.
_Level = Callable[[Activity], float]


def _gpu_use(activity: Activity) -> float:
    return max((gpu.foreign_high or 0.0 for gpu in activity.gpus), default=0.0)


def _heat(activity: Activity) -> float:
    warmest_c = max((gpu.temperature_c or 0.0 for gpu in activity.gpus), default=0.0)
    return min(1.0, max(0.0, (warmest_c - COOL_C) / (HOT_C - COOL_C)))


_ROWS: tuple[tuple[str, _Level], ...] = (
    ("input", lambda seen: float(seen.idle_s is not None and seen.idle_s < PRESENT_S)),
    ("full screen, film", lambda seen: float(bool(seen.screen.fullscreen or seen.attention.inhibitor))),
    ("call", lambda seen: float(bool(seen.attention.call))),
    ("others' GPU use", _gpu_use),
    (f"heat {COOL_C:.0f}–{HOT_C:.0f} °C", _heat),
    ("others' processor", lambda seen: seen.others_cpu or 0.0),
    ("on battery", lambda seen: float(seen.power.mains is False)),
)


def draw(title: str, recording: Recording, given: Sequence[Band], scores: Scores) -> str:
    """The whole picture as text."""
    rows_top = BANDS_TOP + BANDS_HIGH + 18
    bottom = rows_top + len(_ROWS) * (ROW_HIGH + ROW_GAP)
    high = bottom + 62
    scale = (WIDTH - LEFT - RIGHT) / max(recording.seconds, 1.0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {high}" width="{WIDTH}" height="{high}"'
        ' font-family="system-ui, -apple-system, DejaVu Sans, sans-serif" font-size="12" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{high}" rx="8" fill="#ffffff"/>',
        _text(24, 32, title, size=17, weight="bold"),
        *(_text(24, 54 + 18 * number, line, pale=True) for number, line in enumerate(_in_words(scores))),
        *_hours(recording, scale, bottom),
        *_bands(recording, given, scale),
    ]
    for number, (name, level) in enumerate(_ROWS):
        top = rows_top + number * (ROW_HIGH + ROW_GAP)
        parts += [
            _text(LEFT - 10, top + ROW_HIGH / 2 + 4, name, anchor="end"),
            _rect(LEFT, top, WIDTH - LEFT - RIGHT, ROW_HIGH, "#f1f4f7", "ground"),
            _row(recording, level, scale, top),
        ]
    parts += [*_asleep(recording, given, scale, bottom - ROW_GAP), *_legend(high - 18), "</svg>\n"]
    return "\n".join(parts)


def _in_words(scores: Scores) -> tuple[str, str, str]:
    hours = ", ".join(f"{profile.word} {scores.in_profile[profile]:.1f} h" for profile in reversed(Profile))
    asleep = f", asleep {scores.asleep:.1f} h" if scores.asleep else ""
    held = ", ".join(f"{rule} {hours:.1f} h" for rule, hours in scores.held_by[:5] if hours >= 0.05) or "nothing"
    return (
        f"{scores.gpu_hours:.1f} GPU-hours shared: {hours}{asleep}",
        f"Intrusion {scores.intrusion_s:.0f} s, longest {scores.worst_wait_s:.1f} s; lowered {scores.lowered} times,"
        f" raised {scores.raised} times, {scores.flaps} of them undone within 2 min",
        f"Held lower by: {held}",
    )


def _bands(recording: Recording, given: Sequence[Band], scale: float) -> Iterator[str]:
    base = BANDS_TOP + BANDS_HIGH
    for profile in Profile:
        yield _text(LEFT - 10, base - _height(profile) + (4 if profile else 0), profile.word, anchor="end")
    for band in given:
        if band.rule != ASLEEP:
            high = _height(band.profile)
            where = (LEFT + band.t0 * scale, base - high, (band.t1 - band.t0) * scale, high)
            yield _rect(*where, _COLOURS[band.profile], tip=_tip(recording, band))


def _asleep(recording: Recording, given: Sequence[Band], scale: float, bottom: float) -> Iterator[str]:
    """Over everything: nothing was sensed either."""
    for band in given:
        if band.rule == ASLEEP:
            where = (LEFT + band.t0 * scale, BANDS_TOP, (band.t1 - band.t0) * scale, bottom - BANDS_TOP)
            yield _rect(*where, _ASLEEP, tip=_tip(recording, band), opacity=_VEIL)


def _tip(recording: Recording, band: Band) -> str:
    since, until = (_clock(recording, t) for t in (band.t0, band.t1))
    return f"{since}–{until} {band.profile.word}: {band.rule}"


def _height(profile: Profile) -> float:
    return 8 + (BANDS_HIGH - 8) * profile / max(Profile)


def _row(recording: Recording, level: _Level, scale: float, top: float) -> str:
    """The highest of every pixel, as one path: a step at each change."""
    highest = [0.0] * (WIDTH - LEFT - RIGHT + 1)
    for frame, following in pairwise(recording.frames):
        value = level(frame.activity)
        if value > 0:
            until = following.t - following.slept_s
            idle_s = frame.activity.idle_s
            if level is _ROWS[0][1] and idle_s is not None:
                until = min(until, frame.t + PRESENT_S - idle_s)
            for pixel in range(int(frame.t * scale), int(until * scale) + 1):
                highest[pixel] = max(highest[pixel], value)
    path, before = f"M{LEFT} {top + ROW_HIGH}", 0.0
    for pixel, value in enumerate([*highest[:-1], 0.0]):
        if value != before:
            path += f"H{LEFT + pixel}V{_short(top + ROW_HIGH * (1 - value))}"
            before = value
    return f'<path class="signal" fill="#44546a" d="{path}Z"/>'


def _hours(recording: Recording, scale: float, bottom: float) -> Iterator[str]:
    """Lines at whole hours on the wall, or at what suits the length."""
    tick_s = next((each for each in _TICKS_S if recording.seconds / each <= 13), _TICKS_S[-1])
    started = recording.header.started
    first_s = -(started.hour * 3600 + started.minute * 60 + started.second) % tick_s
    at_s = float(first_s)
    while at_s <= recording.seconds:
        x = LEFT + at_s * scale
        yield f'<path class="line" stroke="#d0d7de" d="M{_short(x)} {BANDS_TOP}V{bottom}"/>'
        label = _clock(recording, at_s) if tick_s < 86400 else f"{started + timedelta(seconds=at_s):%a %d}"
        yield _text(x, bottom + 14, label, anchor="middle", pale=True)
        at_s += tick_s


def _legend(y: float) -> Iterator[str]:
    x = float(LEFT)
    for name, colour, opacity in [(each.word, _COLOURS[each], 1.0) for each in Profile] + [("asleep", _ASLEEP, _VEIL)]:
        yield _rect(x, y - 10, 12, 12, colour, opacity=opacity)
        yield _text(x + 18, y, name)
        x += 120


def _clock(recording: Recording, t: float) -> str:
    return f"{recording.header.started + timedelta(seconds=t):%H:%M}"


def _text(
    x: float, y: float, words: str, *, size: int = 12, weight: str = "normal", anchor: str = "start", pale: bool = False
) -> str:
    look = 'class="pale" fill="#59636e"' if pale else 'class="ink" fill="#1f2328"'
    return (
        f'<text {look} x="{_short(x)}" y="{_short(y)}" font-size="{size}" font-weight="{weight}"'
        f' text-anchor="{anchor}">{escape(words)}</text>'
    )


def _rect(
    x: float, y: float, wide: float, high: float, fill: str, name: str = "", *, tip: str = "", opacity: float = 1.0
) -> str:
    named = f' class="{name}"' if name else ""
    clear = f' fill-opacity="{opacity}"' if opacity < 1 else ""
    where = f'x="{_short(x)}" y="{_short(y)}" width="{_short(wide)}" height="{_short(high)}"'
    end = f"><title>{escape(tip)}</title></rect>" if tip else "/>"
    return f'<rect{named} {where} fill="{fill}"{clear}{end}'


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
