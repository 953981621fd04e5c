"""How long ago the person touched keyboard, pointer or gamepad.

One file per source; each says "unknown" rather than guess. Sources are asked (`idle_s`) and, while the person is away,
tell of the first input at once (`watch_for_input`). Which of them may count in this kind of session is chosen by
`system.host.idle_probes`; whom to believe, by `core.idle`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gogrid_desktop.core.idle import Kind


class IdleProbe(Protocol):
    """`name` is what `gogrid doctor` and the status show; `kind`: what its seconds mean.

    `notifies`: it can tell of input by itself; False: it has to be asked.
    """

    name: str
    kind: Kind
    notifies: bool

    def idle_s(self) -> float | None:
        """Seconds since the last input; None when this source cannot know. Never raises, never blocks for long."""
        ...

    def watch_for_input(self, heard: Callable[[], None]) -> bool:
        """Have `heard` called at the next input, once, from any thread; it must not ask the probe itself.

        Whether it will be: where not, ask `idle_s` again and again. It is called too when the source goes away, as
        then nobody knows. Meant to be called each time that the person is found to be away; while a watch runs, a new
        `heard` takes the place of the old one. It costs nothing while the person is there. Never raises, never blocks
        for long.
        """
        ...

    def close(self) -> None:
        """End threads and connections."""
        ...


class Asked:
    """A source that has to be asked: nothing tells of input by itself, and nothing is held open."""

    notifies = False

    def watch_for_input(self, heard: Callable[[], None]) -> bool:
        return False

    def close(self) -> None:
        return
