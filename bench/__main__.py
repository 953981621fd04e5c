"""Runs the benches named on the command line, or all; exits with 1 if a bound did not hold."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

_NO_BENCH = {"__init__", "__main__", "claim", "driver"}


def main() -> int:
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _NO_BENCH)
    wanted = sys.argv[1:] or names
    if unknown := set(wanted) - set(names):
        print(f"There is no bench {', '.join(sorted(unknown))}; there are {', '.join(names)}.", file=sys.stderr)
        return 2
    good = True
    for name in wanted:
        for claim in importlib.import_module(f"bench.{name}").claims():
            print(claim.line(), flush=True)
            good = good and claim.holds
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
