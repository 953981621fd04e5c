"""Reads GBNF, the grammar notation of llama.cpp, to refuse what would harm the process that runs it.

llama.cpp parses a grammar once more. It cannot be asked first: it prints what it does not understand to standard
error, runs for ever with rules that begin with themselves behind something that may be empty, and takes memory without
bound for long repetitions. What passes here is syntax that it takes, within bounds, with each rule defined and none
left-recursive.

References to tokens (`<[id]>`) are not offered: they mean another thing in each model.
"""

from __future__ import annotations

from gogrid_desktop.core.gbnf_parser import GrammarError as GrammarError
from gogrid_desktop.core.gbnf_parser import Parser, Rules, Sequence

MAX_CHARS = 32_768
#: In how many ways an answer may go on at any point, and how many of them may be tried behind one another.
MAX_BRANCHES = 1_000
MAX_RETRIES = 20_000
ROOT = "root"


def check(text: str) -> None:
    """Raises GrammarError."""
    if len(text) > MAX_CHARS:
        raise GrammarError(f"The grammar has {len(text):,} characters; at most {MAX_CHARS:,} are allowed.")
    rules = Parser(text).parse()
    if ROOT not in rules:
        raise GrammarError(f"The grammar has no rule named {ROOT}; name the rule for the whole answer so.")
    for ref in (ref for sequences in rules.values() for sequence in sequences for ref in sequence if ref is not None):
        if ref not in rules:
            raise GrammarError(f"The grammar refers to a rule {ref} that it does not have.")
    empty = _may_be_empty(rules)
    _check_branches(rules, empty, _in_order_of_beginnings(rules, empty))


def _in_order_of_beginnings(rules: Rules, empty: set[str]) -> list[str]:
    """The rules, each behind those that it can begin with. Raises GrammarError where one can begin with itself."""
    firsts = {
        name: {ref for sequence in found for ref in _beginnings(sequence, empty) if ref is not None}
        for name, found in rules.items()
    }
    done: dict[str, None] = {}
    for start in rules:
        path, open_ = [(start, iter(firsts[start]))], {start}
        while path:
            name, rest = path[-1]
            following = next((ref for ref in rest if ref not in done), None)
            if following is None:
                path.pop()
                open_.discard(name)
                done[name] = None
            elif following in open_:
                words = "can begin with itself; let it begin with something else"
                raise GrammarError(f"The rule {following.split()[0]} {words}.")
            else:
                path.append((following, iter(firsts[following])))
                open_.add(following)
    return list(done)


def _check_branches(rules: Rules, empty: set[str], order: list[str]) -> None:
    """llama.cpp goes all ways at once, and what may be empty is a way past it: many of these in a row take too long."""
    ways: dict[str, int] = {}
    for name in order:
        ways[name] = sum(
            1 if ref is None else ways[ref] for sequence in rules[name] for ref in _beginnings(sequence, empty)
        )
        if ways[name] > MAX_BRANCHES:
            raise GrammarError(f"The rule {name.split()[0]} can begin in more than {MAX_BRANCHES:,} ways.")
    for name, sequences in rules.items():
        for sequence in sequences:
            here = retries = 0
            for ref in reversed(sequence):
                own = 1 if ref is None else ways[ref]
                here, retries = (own + here, retries + own * here) if ref in empty else (own, 0)
                if here > MAX_BRANCHES or retries > MAX_RETRIES:
                    raise GrammarError(
                        f"The rule {name.split()[0]} can go on in too many ways at once. Make it less ambiguous: "
                        "let less of what is repeated or stands in a row be empty."
                    )


def _may_be_empty(rules: Rules) -> set[str]:
    empty: set[str] = set()
    users: dict[str, set[str]] = {}
    for name, sequences in rules.items():
        for ref in (ref for sequence in sequences for ref in sequence if ref is not None):
            users.setdefault(ref, set()).add(name)
    waiting = set(rules)
    while waiting:
        name = waiting.pop()
        if name not in empty and any(all(ref in empty for ref in sequence) for sequence in rules[name]):
            empty.add(name)
            waiting |= users.get(name, set())
    return empty


def _beginnings(sequence: Sequence, empty: set[str]) -> Sequence:
    """The part of a sequence that it can begin with: up to the first that cannot be empty."""
    end = next((i for i, ref in enumerate(sequence, 1) if ref not in empty), len(sequence))
    return sequence[:end]
