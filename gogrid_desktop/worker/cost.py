"""How long a step will take, learned from those before it: so many prompt rows fit beside jobs that wait for a token.

Two figures describe a machine well enough: what a step takes that only generates, by the number of its sequences, and
what each prompt row adds to it. Both drift with the length of the contexts and with what else the machine does, so that
they follow the last steps.
"""

from __future__ import annotations

#: A step with prompt rows may take this many times what it takes without them, while others wait for a token ...
STRETCH = 1.9
#: ... or this long: 30 tokens a second are felt by nobody, and a single row at a time would waste the machine.
UNFELT_S = 0.033
#: A step for whose tokens nobody waits. It must be short enough to be told from a hang, and to be thrown away.
ALONE_S = 2.0
#: Rows of the first steps, while nothing is known.
FIRST_ROWS = 32
#: Every so many steps beside others one has no prompt rows: what they take alone would otherwise be a guess from before
#: the prompt came, and all of its error would be blamed on the rows.
PLAIN_EVERY = 32
_WEIGHT = 0.25


class StepCost:
    """Times are seconds. `longest_s`: bound of every step, None for none."""

    def __init__(self, longest_s: float | None = None) -> None:
        self._longest_s = longest_s
        self._decode_s: dict[int, float] = {}
        self._row_s: dict[bool, float] = {}  # a prompt row, by whether others generated beside it
        self._owed = 0.0  # parts of a row that earlier steps had room for
        self._mixed = 0  # steps since the last one without prompt rows

    def learn(self, generating: int, prompt_rows: int, took_s: float) -> None:
        """A step of so many generating sequences and prompt rows took this long."""
        self._mixed = self._mixed + 1 if prompt_rows and generating else 0
        if prompt_rows == 0:
            self._decode_s[generating] = _drift(self._decode_s.get(generating), took_s)
            return
        decode_s = self.decode_s(generating)
        if decode_s is not None:
            beside = generating > 0
            row_s = max(took_s - decode_s, took_s * 0.01) / prompt_rows
            self._row_s[beside] = _drift(self._row_s.get(beside), row_s)

    def decode_s(self, generating: int) -> float | None:
        """What a step takes that only generates; from the nearest number that was seen, in proportion.

        Before any was seen, what as many prompt rows take; None while nothing is known.
        """
        if generating == 0:
            return 0.0
        if generating in self._decode_s:
            return self._decode_s[generating]
        if not self._decode_s:
            return self._row_s[False] * generating if False in self._row_s else None
        nearest = min(self._decode_s, key=lambda seen: abs(seen - generating))
        return self._decode_s[nearest] * generating / nearest

    def prompt_rows(self, generating: int, most: int, *, waited_for: bool = True) -> int:
        """How many prompt rows, up to `most`, the next step may have beside so many generating sequences.

        `waited_for`: whether somebody waits for what these generate.
        """
        decode_s = self.decode_s(generating)
        row_s = self._row_s.get(generating > 0, self._row_s.get(generating == 0))
        if decode_s is None or not row_s:
            return min(FIRST_ROWS, most)
        hurried = generating > 0 and waited_for
        if hurried and self._mixed >= PLAIN_EVERY:
            return 0
        limit_s = max(STRETCH * decode_s, UNFELT_S) if hurried else ALONE_S
        if self._longest_s is not None:
            limit_s = min(limit_s, self._longest_s)
        room = max(1.0, (limit_s - decode_s) / row_s + self._owed)
        self._owed = room % 1 if hurried and self._longest_s is None else 0.0
        return min(most, int(room))


def _drift(old: float | None, new: float) -> float:
    """Towards `new`; a step that was held up by something else counts as twice what was usual at most."""
    return new if old is None else old + _WEIGHT * (min(new, 2 * old) - old)
