"""Logging for every process: one line per record on standard error, secrets scrubbed."""

from __future__ import annotations

import logging
import re
import sys

_SECRET = re.compile(r"\b(gg[nkict]_[A-Za-z0-9_-]{4})[A-Za-z0-9_-]+")


class ScrubSecrets(logging.Filter):
    """Cuts node tokens (`ggn_`), API keys (`ggk_`), invite codes (`ggi_`) and the like to their first characters."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        scrubbed = _SECRET.sub(r"\1...", text)
        if scrubbed != text:
            record.msg, record.args = scrubbed, ()
        return True


def setup(level: str = "info") -> None:
    """Log to standard error from now on. `level` is a name of the logging module, in any case."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(ScrubSecrets())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "alembic", "apscheduler", "asyncio", "keyring", "tzlocal"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
