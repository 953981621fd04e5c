"""Parses GBNF as far as `gbnf` must know it: which rule can begin with which, how large all is when written out.

Source of the notation: `grammars/README.md` and the parser of llama.cpp, quirks included: a rule that is there twice
counts as it is last, and a line ends a rule unless it ends inside a group or behind `|`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_RULES = 4_000
MAX_ELEMENTS = 100_000
MAX_DEPTH = 64
#: llama.cpp's own bound on `{m,n}`, multiplied with the rules inside what is repeated.
MAX_REPETITIONS = 2_000

#: What a sequence consists of, in order: names of rules, and None for characters. Its alternatives make a rule.
Sequence = list[str | None]
Rules = dict[str, list[Sequence]]

_NAME = re.compile(r"[a-zA-Z0-9-]+")
_BLANKS = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_BLANKS_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_CHAR = re.compile(r'\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\[trn\\"\[\]-]|[^\\\x00]')
_REPEAT = re.compile(r"\{[ \t]*([0-9]{1,9})[ \t]*(,?)[ \t]*([0-9]{1,9})?[ \t]*\}")
_RANGES = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_SHOWN_CHARS = 20


class GrammarError(ValueError):
    """A grammar that cannot be used; the message is a sentence that says where and why."""


@dataclass(frozen=True, slots=True)
class _Item:
    """What a repetition can stand behind. `elements`: its size in llama.cpp; `weight`: as its bound counts rules."""

    sequence: Sequence
    elements: int
    weight: int = 1


class Parser:
    """Recursive descent; what is generated for groups and repetitions is named with a blank, as no rule can be."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._elements = 0
        self._rules: Rules = {}
        self._symbols: set[str] = set()
        self._generated = 0

    def parse(self) -> Rules:
        self._skip(lines=True)
        while self._at < len(self._text):
            name = self._match(_NAME, "the name of a rule")
            self._symbols.add(name)
            self._skip(lines=False)
            self._expect("::=")
            self._skip(lines=True)
            self._rules[name] = self._alternatives(name)
            if self._at < len(self._text) and self._text[self._at] not in "\r\n":
                raise self._error("the end of the line")
            self._skip(lines=True)
        return self._rules

    def _alternatives(self, rule: str) -> list[Sequence]:
        found = [self._sequence(rule)]
        while self._peek() == "|":
            self._at += 1
            self._skip(lines=True)
            found.append(self._sequence(rule))
        return found

    def _sequence(self, rule: str) -> Sequence:
        items: list[_Item] = []
        while item := self._item(rule):
            self._skip(lines=self._depth > 0)
            while (bounds := self._repetition()) is not None:
                self._skip(lines=self._depth > 0)
                item = self._repeated(rule, item, *bounds)
            self._count(item.elements)
            items.append(item)
        return [ref for item in items for ref in item.sequence]

    def _item(self, rule: str) -> _Item | None:
        match self._peek():
            case '"':
                return self._literal()
            case "[":
                return self._class()
            case "(":
                return self._group(rule)
            case ".":
                self._at += 1
                return _Item([None], 1)
            case "<" | "!":
                raise GrammarError(f"The grammar refers to a token in line {self._line}: that is not offered.")
            case _ as char if _NAME.match(char):
                name = self._match(_NAME, "the name of a rule")
                self._symbols.add(name)
                return _Item([name], 1)
        return None

    def _literal(self) -> _Item:
        self._at += 1
        length = 0
        while self._peek() != '"':
            self._match(_CHAR, "a character or the end of the text")
            length += 1
        self._at += 1
        return _Item([None] if length else [], length)

    def _class(self) -> _Item:
        self._at += 2 if self._text.startswith("[^", self._at) else 1
        length = 0
        while self._peek() != "]":
            self._match(_CHAR, "a character or the end of the class")
            if self._peek() == "-" and not self._text.startswith("-]", self._at):
                self._at += 1
                self._match(_CHAR, "the end of a range")
                length += 1
            length += 1
        self._at += 1
        return _Item([None] if length else [], length)

    def _group(self, rule: str) -> _Item:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise GrammarError(f"The grammar has more than {MAX_DEPTH} groups in each other in line {self._line}.")
        self._at += 1
        self._skip(lines=True)
        before = len(self._symbols)
        name = self._generate(rule)
        self._rules[name] = self._alternatives(rule)
        weight = max(1, len(self._symbols) - before)
        self._expect(")")
        self._depth -= 1
        return _Item([name], 1, weight)

    def _repetition(self) -> tuple[int, int | None] | None:
        """Least and most times (None: without end), where a repetition stands here."""
        sign = self._peek()
        if sign in _RANGES:
            self._at += 1
            return _RANGES[sign]
        if sign != "{":
            return None
        found = _REPEAT.match(self._text, self._at)
        if found is None or (found[3] and not found[2]):
            raise self._error("a repetition such as {2}, {2,} or {2,5}")
        self._at = found.end()
        least = int(found[1])
        most = int(found[3]) if found[3] else None if found[2] else least
        if most is not None and most < least:
            raise GrammarError(f"The grammar repeats at least {least} and at most {most} times in line {self._line}.")
        return least, most

    def _repeated(self, rule: str, item: _Item, least: int, most: int | None) -> _Item:
        if not item.elements:
            raise self._error("something before the repetition")
        times = most or least or 1
        weight = item.weight * times
        if max(weight, least) > MAX_REPETITIONS:
            raise GrammarError(
                f"The grammar repeats {times:,} times in line {self._line} what counts {item.weight} times; "
                f"at most {MAX_REPETITIONS:,} together are allowed."
            )
        optional = 1 if most is None else most - least
        self._count((item.elements + 3) * optional, rules=max(0, optional - 1))
        sequence = item.sequence * least
        if optional:
            name = self._generate(rule)
            self._rules[name] = [item.sequence * optional, []]
            sequence.append(name)
        return _Item(sequence, item.elements * least + 1, weight)

    def _generate(self, rule: str) -> str:
        self._generated += 1
        self._count(0, rules=1)
        name = f"{rule} {self._generated}"
        self._symbols.add(name)
        return name

    def _count(self, elements: int, rules: int = 0) -> None:
        self._elements += elements
        self._generated += rules
        if self._elements > MAX_ELEMENTS or self._generated + len(self._rules) > MAX_RULES:
            raise GrammarError(
                f"The grammar is too large: with its repetitions written out it may have {MAX_RULES:,} rules "
                f"and {MAX_ELEMENTS:,} elements."
            )

    # --- characters --------------------------------------------------------------------------------------------------

    @property
    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, *, lines: bool) -> None:
        found = (_BLANKS_AND_LINES if lines else _BLANKS).match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _match(self, pattern: re.Pattern[str], wanted: str) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise self._error(wanted)
        self._at = found.end()
        return found[0]

    def _expect(self, text: str) -> None:
        if not self._text.startswith(text, self._at):
            raise self._error(text)
        self._at += len(text)

    def _error(self, wanted: str) -> GrammarError:
        seen = self._text[self._at : self._at + _SHOWN_CHARS]
        there = f"there is {seen!r}" if seen else "the grammar ends"
        return GrammarError(f"The grammar needs {wanted} in line {self._line}, and {there}.")
