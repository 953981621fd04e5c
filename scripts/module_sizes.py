"""Fails when a module is longer than 400 lines, or half of them longer than 150: part of `make check`."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

LONGEST = 400
MEDIAN = 150


def main() -> int:
    modules = [path for path in Path("gogrid_desktop").rglob("*.py") if path.stat().st_size > 0]
    lines = {path: len(path.read_text().splitlines()) for path in modules}
    long = {path: count for path, count in lines.items() if count > LONGEST}
    for path, count in sorted(long.items()):
        print(f"{path}: {count} lines, at most {LONGEST} are allowed: make it two modules")
    median = statistics.median(lines.values())
    print(f"{len(lines)} modules, median {median:.0f} lines, longest {max(lines.values())}")
    if median > MEDIAN:
        print(f"the median is over {MEDIAN}")
    return 1 if long or median > MEDIAN else 0


if __name__ == "__main__":
    sys.exit(main())
