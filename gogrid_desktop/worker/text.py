"""From the bytes of tokens to the text that may be shown: partial characters and possible stop strings wait.

The text is a pure function of the tokens, however they are cut, so that a job can be taken up again anywhere. Stop
strings are compared with bytes, before anything is decoded.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable


class TextStream:
    """Text of one job, released as soon as it is certain.

    Bytes that are no UTF-8 become U+FFFD. The text ends before the stop string that is complete first (of several that
    complete with the same byte, before the longest).
    """

    __slots__ = ("_decoder", "_held", "_stops", "stopped")

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stop.encode() for stop in stops if stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = b""
        self.stopped = False

    def push(self, piece: bytes) -> str:
        """Take the bytes of one token; return the text that became certain (often empty)."""
        if self.stopped:
            return ""
        self._held += piece
        end = self._first_stop()
        if end is not None:
            self.stopped = True
            return self._release(end, final=True)
        return self._release(len(self._held) - self._possible_stop())

    def finish(self) -> str:
        """No more tokens come: return what was held back."""
        return "" if self.stopped else self._release(len(self._held), final=True)

    def _release(self, size: int, *, final: bool = False) -> str:
        released, self._held = self._held[:size], self._held[size:]
        return self._decoder.decode(released, final)

    def _first_stop(self) -> int | None:
        """Where the stop string that is complete first begins."""
        found = [(at + len(stop), at) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        return min(found)[1] if found else None

    def _possible_stop(self) -> int:
        """Length of the longest end of the held bytes that a stop string could begin with."""
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(self._held)), longest, -1):
                if self._held.endswith(stop[:length]):
                    longest = length
                    break
        return longest
