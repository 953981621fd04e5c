"""`gogrid record|replay`: what the sensors saw, kept, and what the policy makes of it."""

from __future__ import annotations

import dataclasses
import itertools
import json as jsonlib
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gogrid_desktop.cli import recording_file
from gogrid_desktop.cli.agent_beside import AgentBeside
from gogrid_desktop.cli.control import parse_duration
from gogrid_desktop.config.store import SettingsStore
from gogrid_desktop.core.activity import Preferences
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.core.recording import Encoder, Recording
from gogrid_desktop.core.replay import Band
from gogrid_desktop.core.scores import Scores, judge
from gogrid_desktop.core.words import in_words
from gogrid_desktop.errors import GoGridError
from gogrid_desktop.paths import app_paths

LONGEST_S = 31 * 86400.0


def record(
    file: Annotated[Path, typer.Argument(help="A new file; packed if its name ends in .gz.")],
    for_: Annotated[str, typer.Option("--for", help="30s, 1h, 1d; otherwise until Ctrl-C.", metavar="1h")] = "",
    names: Annotated[bool, typer.Option("--names", help="With the names of programs, not numbers.")] = False,
) -> None:
    """Write down what the sensors see, once a second: no titles, no texts, nobody's name."""
    from gogrid_desktop.agent.gpu_sense import GpuSense
    from gogrid_desktop.agent.intent import Intent
    from gogrid_desktop.agent.parts import system_parts
    from gogrid_desktop.agent.recorder import Recorder, began
    from gogrid_desktop.agent.sensors import Sensors
    from gogrid_desktop.agent.wishes import Wishes

    seconds = parse_duration(for_, LONGEST_S) if for_ else None
    paths = app_paths()
    parts, agent = system_parts(paths), AgentBeside(paths.endpoint_file)
    settings = parts.store.settings
    wishes = Wishes(lambda: settings, Intent(paths.state / "intent.json"), parts.ceiling, parts.turn)
    sensors = Sensors(parts.probes, GpuSense(parts.gpus, agent.pids, wishes.lent), parts.clock, wishes.preferences)
    encoder = Encoder(began(parts.clock, wishes.preferences().role, names=names))
    stop = threading.Event()
    written = recording_file.RecordingFile(file)
    before = {each: signal.signal(each, lambda *_: stop.set()) for each in (signal.SIGINT, signal.SIGTERM)}
    console = Console(highlight=False, markup=False)
    console.print(f"Recording to {file}. Ctrl-C ends it.", soft_wrap=True)
    try:
        lasted_s = Recorder(sensors, parts.clock, encoder, written.write, agent.jobs).run(seconds, stop.wait)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        agent.close()
        written.close()
    console.print(f"Recorded {in_words(int(lasted_s))}, {written.lines:,} lines.", soft_wrap=True)


def replay(
    file: Annotated[str, typer.Argument(help="A recording, or a day that comes along: office, gamer, laptop, ...")],
    json: Annotated[bool, typer.Option("--json", help="Scores and bands, as one JSON object.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Draw the day.", metavar="OUT.svg")] = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="With the default settings, not yours.")] = False,
) -> None:
    """What would have been shared over a recording, and why."""
    recording = recording_file.read(recording_file.find(file))
    wanted = Preferences() if defaults else SettingsStore(app_paths().settings_file).settings.preferences()
    given, scores = judge(recording, wanted)
    if picture is not None:
        _draw(picture, file, recording, given, scores)
    if json:
        typer.echo(jsonlib.dumps(_as_json(recording, given, scores)))
        return
    console = Console(highlight=False, markup=False)
    console.print(f"{_title(file, recording)}, {recording.header.role}", soft_wrap=True)
    console.print(scores_table(scores))
    console.print(hours_table(scores))
    if recording.note:
        Console(stderr=True, highlight=False, markup=False).print(recording.note, soft_wrap=True)


def scores_table(scores: Scores) -> Table:
    """The scores, a line each."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("shared", f"{scores.gpu_hours:.1f} GPU-hours of {scores.hours:.1f} h")
    table.add_row("intrusion", f"{scores.intrusion_s:.0f} s, longest {scores.worst_wait_s:.1f} s")
    table.add_row("lowered", f"{scores.lowered} times")
    table.add_row("raised", f"{scores.raised} times, {scores.flaps} of them undone within 2 min")
    table.add_row("changes", f"at most {scores.busiest_hour} in an hour")
    return table


def hours_table(scores: Scores) -> Table:
    """Where the time went: by profile, and by the rule that held it lower."""
    table = Table("profile", "hours", "held lower by", "hours", box=None, pad_edge=False)
    for column in (1, 3):
        table.columns[column].justify = "right"
    spent = [(profile.word, scores.in_profile[profile]) for profile in reversed(Profile)] + [("asleep", scores.asleep)]
    for (profile, hours), held in itertools.zip_longest(spent, scores.held_by[: len(spent)]):
        table.add_row(profile, f"{hours:.2f}", *(() if held is None else (held[0], f"{held[1]:.2f}")))
    return table


def _title(file: str, recording: Recording) -> str:
    started = recording.header.started
    return f"{Path(file).name}: {in_words(recording.seconds)} from {started:%A %Y-%m-%d %H:%M}"


def _as_json(recording: Recording, given: Sequence[Band], scores: Scores) -> dict[str, object]:
    return {
        "started": recording.header.started.isoformat(),
        "role": recording.header.role,
        "seconds": recording.seconds,
        "note": recording.note,
        "scores": dataclasses.asdict(scores),
        "bands": [[band.t0, band.t1, band.profile.word, band.compute_share, band.rule] for band in given],
    }


def _draw(picture: Path, file: str, recording: Recording, given: Sequence[Band], scores: Scores) -> None:
    from gogrid_desktop.cli.day_picture import draw

    try:
        picture.write_text(draw(_title(file, recording), recording, given, scores), encoding="utf-8")
    except OSError as error:
        raise GoGridError(f"{picture} cannot be written: {error.strerror}.", "Choose another place.") from error
