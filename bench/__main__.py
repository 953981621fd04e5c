"""Runs the benches named on the command line, or all; exits with 1 if a bound did not hold."""

from __future__ import annotations

import importlib
import sys

#: In the order in which they run, each with its module: the name of one would be a word of Python.
BENCHES = {
    "policy": "policy",
    "throttle": "throttle",
    "overhead": "overhead",
    "footprint": "footprint",
    "yield": "yielding",
    "reaction": "reaction",
    "game": "game",
    "duty_cycle": "duty_cycle",
    "inter_token": "inter_token",
    "shared_prefix": "shared_prefix",
    "throughput": "throughput",
}


def main() -> int:
    wanted = sys.argv[1:] or list(BENCHES)
    if unknown := set(wanted) - set(BENCHES):
        print(f"There is no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}.", file=sys.stderr)
        return 2
    good = True
    for name in wanted:
        measured = False
        for claim in importlib.import_module(f"bench.{BENCHES[name]}").claims():
            print(claim.line(), flush=True)
            measured, good = True, good and claim.holds
        good = good and measured
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
