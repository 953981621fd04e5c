"""`gogrid schedule show|set|reset`: the most that may be given in each hour of the week."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gogrid_desktop.cli.settings_writer import write_settings
from gogrid_desktop.config.store import SettingsStore
from gogrid_desktop.core.civil import CivilTime, Stretch, stretches
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.spans import SpanError, format_spans, parse_profile, parse_spans
from gogrid_desktop.core.windows import DEFAULT_ROWS, HOUR_S, HOURS, WEEKDAYS, WeekGrid, format_grid, parse_grid
from gogrid_desktop.core.words import clock, in_words
from gogrid_desktop.errors import BadInput
from gogrid_desktop.paths import app_paths
from gogrid_desktop.system.civil_time import civil_time

app = typer.Typer(help="When how much may be given: the hours of the week.", no_args_is_help=True)

SETTING = "schedule.grid"
_COLOURS = {"P": "red", "C": "yellow", "B": "cyan", "A": "green"}
_SERVER = "This computer is a server (role): the schedule does not count."
_SPANS = (
    "Days (mon, mon-fri, mon,wed, daily, weekdays, weekend), whole hours (9-17, 09:00-17:00; 22-7 runs into the next"
    " day, 0-24 is a whole one) and a profile (paused, conservative, balanced, aggressive). Spans may not overlap."
)


@app.command()
def show() -> None:
    """The week, hour by hour, and what is next."""
    store = SettingsStore(app_paths().settings_file)
    settings, console = store.settings, Console(highlight=False, markup=False)
    grid, now = parse_grid(settings.schedule.grid), civil_time(time.time())
    console.print(_week(grid, now))
    console.print(Text(" ").join(Text(f"{profile.name[0]} {profile.word} ", _colour(profile)) for profile in Profile))
    console.print()
    _print_spans(console, grid)
    console.print("\nThe next 24 hours:")
    for line in next_lines(grid, now):
        console.print(f"  {line}", soft_wrap=True)
    if settings.role == "server":
        console.print(f"\n{_SERVER}")
    if store.notice:
        Console(stderr=True, highlight=False, markup=False).print(store.notice, soft_wrap=True)


@app.command("set")
def set_spans(
    spans: Annotated[list[str], typer.Argument(metavar="SPAN...", show_default=False, help=_SPANS)],
    rest: Annotated[str, typer.Option(help="What no span covers.", metavar="PROFILE")] = Profile.BALANCED.word,
) -> None:
    """Replace the schedule, for example: gogrid schedule set mon-fri 9-17 conservative daily 22-7 aggressive"""
    try:
        grid = parse_spans(_one_by_one(spans), parse_profile(rest, "--rest"))
    except SpanError as error:
        raise BadInput(error.field, error.value, error.allowed, error.remedy) from error
    _write(format_grid(grid))


@app.command()
def reset() -> None:
    """Back to the schedule that every computer begins with: aggressive by night."""
    _write(DEFAULT_ROWS)


def next_lines(grid: WeekGrid, now: CivilTime) -> list[str]:
    """The next 24 hours in sentences: "now until 22:00 balanced, 3 h 12 min"."""
    lines = []
    for stretch in stretches(grid, now):
        begin = "now" if stretch.begin is now else f"from {_moment(stretch.begin, now)}"
        end = _moment(stretch.end, stretch.begin)
        lines.append(f"{begin} until {end} {stretch.profile.word}, {in_words(stretch.seconds)}{_clocks(stretch)}")
    return lines


def _clocks(stretch: Stretch) -> str:
    """That clocks change meanwhile, which is why the time seems wrong."""
    shift = stretch.begin.shift
    if not stretch.shifted_s or shift is None:
        return ""
    at = clock(stretch.begin.weekday, stretch.begin.second_of_day, shift.in_s)
    way = "forward" if shift.by_s > 0 else "back"
    return f" (the clocks go {way} by {in_words(abs(shift.by_s))} at {at})"


def _moment(then: CivilTime, before: CivilTime) -> str:
    """The time of `then`, with the weekday where it is another one than `before`."""
    time_of_day = clock(then.weekday, then.second_of_day, 0.0)
    return time_of_day if then.weekday == before.weekday else f"{WEEKDAYS[then.weekday]} {time_of_day}"


def _week(grid: WeekGrid, now: CivilTime) -> Table:
    """A letter for each hour; the one that is now is reversed."""
    table = Table(box=None, pad_edge=False, padding=0, show_header=True)
    table.add_column("", min_width=5)
    for hour in range(HOURS):
        # Every third hour has its number: two digits fit over two letters.
        table.add_column(f"{hour:02}" if hour % 3 == 0 else "", min_width=2, max_width=2)
    this_hour = (now.weekday, now.second_of_day // HOUR_S)
    for day, row in enumerate(format_grid(grid)):
        styles = [_COLOURS[letter] + " reverse" * ((day, hour) == this_hour) for hour, letter in enumerate(row)]
        table.add_row(WEEKDAYS[day][:3], *map(Text, row, styles))
    return table


def _print_spans(console: Console, grid: WeekGrid) -> None:
    spans, rest = format_spans(grid)
    for span in spans:
        console.print(span)
    console.print(f"{'the rest' if spans else 'all week'} {rest.word}")


def _write(rows: tuple[str, ...]) -> None:
    stored = write_settings({SETTING: list(rows)})
    console = Console(highlight=False, markup=False)
    _print_spans(console, parse_grid(stored[SETTING]))
    if stored["role"] == "server":
        console.print(_SERVER)


def _one_by_one(words: list[str]) -> list[str]:
    """Each span as one text, whether it was quoted or not."""
    if any(len(word.split()) > 1 for word in words):
        return words
    return [" ".join(words[at : at + 3]) for at in range(0, len(words), 3)]


def _colour(profile: Profile) -> str:
    return _COLOURS[profile.name[0]]
