"""What a store does that one process alone uses: nobody is there to be told, and its clock is this computer's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator


class OneProcess:
    async def tell(self, words: str) -> None:
        """Nobody else uses it."""

    async def told(self) -> AsyncGenerator[str, None]:
        await asyncio.Event().wait()
        yield ""

    def clock(self) -> float:
        return time.time()
