"""The grid client: the only importer of httpx."""

import sys

# The command line of httpx, with all that paints it, would be most of what httpx costs an agent that runs for days.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
