"""Turns the lines of a run into the table of docs/performance.md: `make bench > lines; python -m bench.table lines`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_HEAD = "| bench | value | unit | peer | peer's value | ratio | bound | holds |\n|---|---|---|---|---|---|---|---|"


def row(claim: dict[str, Any]) -> str:
    """One claim as a row of Markdown."""
    cells = [claim[name] for name in ("bench", "value", "unit", "peer", "peer_value", "ratio", "bound")]
    shown = ["" if cell is None else str(cell) for cell in cells]
    return f"| {' | '.join(shown)} | {'yes' if claim['holds'] else 'no'} |"


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m bench.table LINES", file=sys.stderr)
        return 2
    lines = [line for line in Path(sys.argv[1]).read_text().splitlines() if line.startswith("{")]
    print("\n".join([_HEAD, *(row(json.loads(line)) for line in lines)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
