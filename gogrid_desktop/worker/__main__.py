"""`python -m gogrid_desktop.worker`: started by the agent, spoken to on standard input.

The entry point chooses what ranks the process, as the rest of the worker knows no platform. What every later thread
inherits, CPUs and environment, is set before llama.cpp and numpy make theirs; hence the imports inside.
"""

from __future__ import annotations

import os


def run() -> None:
    from gogrid_desktop.core.cpus import parse_cpus
    from gogrid_desktop.system import host
    from gogrid_desktop.worker.messages import CPUS_ENVIRONMENT

    ranker = host.ranker(parse_cpus(os.environ.get(CPUS_ENVIRONMENT, "")))

    from gogrid_desktop.worker.main import main

    main(ranker)


if __name__ == "__main__":
    run()
