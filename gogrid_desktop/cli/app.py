"""The commands `gogrid` and `gogrid-desktop`. Each imports what it needs when it runs, to start fast."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from gogrid_desktop import __version__
from gogrid_desktop.cli import agent, control, demo, doctor, recording, schedule, settings, tray
from gogrid_desktop.errors import GoGridError

app = typer.Typer(
    help="Lend your idle GPU to a grid that runs LLM inference.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(agent.app, name="agent")
app.add_typer(settings.app, name="settings")
app.add_typer(schedule.app, name="schedule")
for command in (
    tray.tray,
    control.status,
    control.pause,
    control.resume,
    control.snooze,
    control.drain,
    control.stop,
    agent.join,
    doctor.doctor,
    recording.record,
    recording.replay,
    demo.demo,
):
    app.command()(command)


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def coordinator(context: typer.Context) -> None:
    """Run the grid's server, and look after it."""
    try:
        from gogrid_desktop.cli.coordinator import app as commands
    except ImportError as error:
        raise GoGridError(
            f"The coordinator needs {error.name}.", 'Install it: pip install "gogrid-desktop[coordinator]"'
        ) from error
    commands(context.args, prog_name="gogrid coordinator")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run a command; an error is one message with its remedy on standard error, and its own exit code."""
    try:
        app()
    except GoGridError as error:
        Console(stderr=True, highlight=False).print(
            f"[red]{escape(error.message)}[/red] {escape(error.remedy)}".rstrip(), soft_wrap=True
        )
        sys.exit(error.exit_code)
