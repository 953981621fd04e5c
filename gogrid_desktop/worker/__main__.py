"""`python -m gogrid_desktop.worker`: started by the agent, spoken to on standard input.

The entry point chooses what ranks the process, as the rest of the worker knows no platform. What every later thread
inherits, CPUs and environment, is set before llama.cpp and numpy make theirs; hence the imports inside.
"""

from __future__ import annotations

import os

#: How long a thread of OpenMP turns in a circle before it sleeps, after each step and where it waits for another
#: within one. By default (300,000 turns of libgomp, 200 ms of libomp) it is ms after each step: a rest would be none.
#: With 1,000 turns (20 us) it sleeps within a step wherever another has more to do, as in the attention over 500 cells,
#: and a step takes some % longer. 20,000 turns are some 400 us; libomp counts milliseconds.
SPINS = {"GOMP_SPINCOUNT": "20000", "KMP_BLOCKTIME": "1"}


def run() -> None:
    from gogrid_desktop.core.cpus import parse_cpus
    from gogrid_desktop.system import host
    from gogrid_desktop.worker.messages import CPUS_ENVIRONMENT

    for name, value in SPINS.items():
        os.environ.setdefault(name, value)
    ranker = host.ranker(parse_cpus(os.environ.get(CPUS_ENVIRONMENT, "")))

    from gogrid_desktop.worker.main import main

    main(ranker)


if __name__ == "__main__":
    run()
