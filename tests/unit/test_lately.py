"""What was asked a moment ago."""

from __future__ import annotations

import asyncio

import pytest

from gogrid_desktop.coordinator.lately import Lately


async def test_all_who_ask_at_once_share_one_question() -> None:
    lately, asked, answer = Lately[str, str](), [], asyncio.Event()

    async def ask() -> str:
        asked.append(1)
        await answer.wait()
        return "it"

    asking = [asyncio.create_task(lately.get("key", ask)) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()  # whoever asked first leaves
    answer.set()
    assert await asyncio.gather(*asking[1:]) == ["it"] * 4
    assert await lately.get("key", ask) == "it"
    assert len(asked) == 1


async def test_a_question_that_failed_is_asked_again() -> None:
    lately = Lately[str, str]()

    async def fail() -> str:
        raise OSError("away")

    async def ask() -> str:
        return "it"

    with pytest.raises(OSError, match="away"):
        await lately.get("key", fail)
    assert await lately.get("key", ask) == "it"
