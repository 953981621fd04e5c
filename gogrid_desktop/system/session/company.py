"""Whether anybody else could be at this computer, where nothing tells of sessions: by whose processes run.

Whoever is logged in has processes. Sources: proc(5), whose `hidepid` may hide them, and login.defs(5) for the uids of
people.
"""

from __future__ import annotations

import psutil

_PEOPLE = range(1000, 60000)


def alone(uid: int) -> bool | None:
    """True: nobody else has a process. None: it cannot be told, or somebody has one, and may be at the screen."""
    if 1 not in psutil.pids():
        return None  # what others run is hidden
    others = {process.info["uids"].real for process in psutil.process_iter(["uids"]) if process.info["uids"]}
    return None if any(one in _PEOPLE and one != uid for one in others) else True
