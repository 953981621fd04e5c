"""The entry of `gogrid`. As they are started at login, agent and tray do without the command line's libraries.

Those would take as much memory as half of the agent, for as long as it runs.
"""

from __future__ import annotations

import sys

from gogrid_desktop.cli import lasting
from gogrid_desktop.errors import GoGridError


def main() -> None:
    """Run a command; an error is one message with its remedy on standard error, and its own exit code."""
    try:
        match sys.argv[1:]:
            case ["agent", "run"]:
                sys.exit(lasting.agent())
            case ["agent", "run", "--allow-plaintext-token"]:
                sys.exit(lasting.agent(allow_plaintext=True))
            case ["tray"]:
                lasting.tray()
            case ["tray", "--login"]:
                lasting.tray(lasting.WAIT_AT_LOGIN_S)
            case _:
                from gogrid_desktop.cli.app import main as any_command

                any_command()
    except GoGridError as error:
        sys.stderr.write(f"{error.message} {error.remedy}".rstrip() + "\n")
        sys.exit(error.exit_code)


def tray_main() -> None:
    """The windowed entry: the tray, whatever the arguments."""
    sys.argv[1:1] = ["tray"]
    main()
