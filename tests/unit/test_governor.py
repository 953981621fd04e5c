"""From a signal to limits, leases and memory: what is done with a decision, in which order, and how fast."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fixtures_sensors import Gpus, Said, sense

from gogrid_desktop.agent.departure import Departure
from gogrid_desktop.agent.governor import Governor
from gogrid_desktop.agent.intent import Intent
from gogrid_desktop.agent.intent import Said as Word
from gogrid_desktop.agent.sensors import Sensors
from gogrid_desktop.agent.wishes import Wishes
from gogrid_desktop.config.ceiling import CeilingFile
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.core.attention import Attention
from gogrid_desktop.core.profiles import Limits, Profile
from gogrid_desktop.core.session import Session


class Clock:
    def __init__(self) -> None:
        self.at, self.wall = 1000.0, 1_700_000_000.0

    def now(self) -> float:
        return self.wall + self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class Turn:
    """`holder`: who has it, empty: nobody."""

    def __init__(self) -> None:
        self.holder, self.ours = "", False

    def take(self) -> str:
        self.ours = not self.holder
        return self.holder

    def let_go(self) -> None:
        self.ours = False


class Pool:
    """Writes down what it was told; obeying takes `obeys_s` of the clock."""

    def __init__(self, clock: Clock, turn: Turn) -> None:
        self.told: list[str] = []
        self.runners = {"model": object()}
        self.obeys_s = 0.02
        self.back = asyncio.Event()
        self._clock, self._turn = clock, turn

    async def pause(self) -> None:
        assert self._turn.ours or not self.told, "somebody else may share while a step of ours runs"
        self._clock.at += self.obeys_s
        self.told.append("pause")

    async def limit(self, limits: Limits) -> None:
        assert self._turn.ours, "limits without the turn"
        self._clock.at += self.obeys_s
        self.told.append(f"limit {limits.batch}")

    def unload(self) -> None:
        self.told.append("unload")
        self.runners.clear()

    def hand_back(self, job: Any, reason: object) -> None:
        self.told.append(f"back {job}")

    async def emptied(self) -> None:
        await self.back.wait()


class World:
    def __init__(self, folder: Path, **settings: Any) -> None:
        self.said, self.clock, self.turn = Said(idle=0.0), Clock(), Turn()
        self.pool = Pool(self.clock, self.turn)
        self.settings = Settings.model_validate({"role": "server", **settings})
        self.intent = Intent(folder / "intent.json")
        wishes = Wishes(lambda: self.settings, self.intent, CeilingFile(folder / "ceiling.toml"), self.turn)
        self.sensors = Sensors(self.said.probes(), sense(Gpus()), self.clock, wishes.preferences)
        self.sensors.start(lambda: None)
        self.outbox = SimpleNamespace(running=[])
        self.tended = 0
        self.governor = Governor(
            self.sensors,
            wishes,
            self.pool,  # type: ignore[arg-type]
            self.outbox,  # type: ignore[arg-type]
            self.clock,
            self._tend,
        )

    async def _tend(self, *_: object) -> None:
        self.tended += 1

    async def think(self, later_s: float = 0.0) -> Profile:
        self.clock.at += later_s
        if self.said.idle is not None:
            self.said.idle += later_s
        await self.governor.think()
        assert self.governor.decision is not None
        return self.governor.decision.profile

    async def changes(self, **what: Any) -> Profile:
        for name, value in what.items():
            setattr(self.said, name, value)
        self.said.changed()
        return await self.think()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_limits_first_then_leases_the_youngest_first_and_memory_after_a_minute(world: World) -> None:
    assert await world.think() is Profile.AGGRESSIVE
    world.outbox.running = ["old", "young"]
    world.pool.told.clear()
    assert await world.changes(session=Session(leaving="suspend")) is Profile.PAUSED
    assert world.pool.told == ["pause", "back young", "back old"]
    world.outbox.running = []
    await world.think(59.0)
    assert "unload" not in world.pool.told
    await world.think(1.1)
    assert world.pool.told.count("unload") == 1


async def test_fewer_at_once_hands_back_the_youngest(world: World) -> None:
    await world.think()
    world.outbox.running = [1, 2, 3]
    world.settings = Settings.model_validate({"role": "server", "sharing": {"profile": "conservative"}})
    world.pool.told.clear()
    await world.think(0.1)
    assert world.pool.told == ["limit 2", "back 3"]


async def test_a_game_takes_the_memory_at_once_and_every_part_of_it_is_measured(world: World) -> None:
    await world.think()
    world.outbox.running = [1]
    world.pool.obeys_s = 0.03
    world.said.attention = Attention(game_mode=True)
    world.said.changed()
    world.clock.at += 0.004  # until somebody thinks
    assert await world.think() is Profile.PAUSED
    assert "unload" in world.pool.told
    stats = world.governor.yields.stats
    assert stats.count == 1
    assert stats.decided.worst_ms == pytest.approx(4.0)
    assert stats.stopped.worst_ms == pytest.approx(30.0)
    assert stats.whole.worst_ms == pytest.approx(34.0)
    assert stats.memory.count == 0
    world.clock.at += 0.2
    world.pool.back.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert world.governor.yields.stats.memory.worst_ms == pytest.approx(230.0)


async def test_who_shares_keeps_the_turn_and_who_comes_later_says_who_it_is(world: World) -> None:
    world.turn.holder = "the agent of eve (pid 7)"
    assert await world.think() is Profile.PAUSED
    assert world.governor.decision is not None
    assert world.governor.decision.reason == "the agent of eve (pid 7) shares this computer already"
    assert world.pool.told == ["pause"]
    world.turn.holder = ""
    assert await world.think(31.0) > Profile.PAUSED
    assert world.turn.ours
    assert await world.changes(session=Session(leaving="shutdown")) is Profile.PAUSED
    assert not world.turn.ours


async def test_where_turns_do_not_matter_none_is_taken(tmp_path: Path) -> None:
    world = World(tmp_path, sharing={"take_turns": False})
    world.turn.holder, world.turn.ours = "eve", True  # the pool would complain otherwise
    assert await world.think() is Profile.AGGRESSIVE


async def test_memory_is_looked_at_once_a_second_and_at_every_change(world: World) -> None:
    await world.think()
    for _ in range(4):
        await world.think(0.2)
    assert world.tended == 1
    await world.think(0.2)
    assert world.tended == 2
    await world.changes(session=Session(leaving="shutdown"))
    assert world.tended == 3


async def test_a_pause_until_away_ends_with_the_person_and_only_once(tmp_path: Path) -> None:
    world = World(tmp_path, role="desktop")
    await world.think()
    world.intent.say(Word(until_away=True))
    assert await world.think(1.0) is Profile.PAUSED
    for _ in range(40):
        await world.think(5.0)
    assert world.intent.said == Word()
    assert await world.think(31.0) > Profile.PAUSED
    world.said.idle = 0.0
    assert await world.think() is Profile.CONSERVATIVE


async def test_a_clock_set_back_makes_no_pause_longer(world: World) -> None:
    await world.think()
    world.intent.say(Word(snooze_until=world.clock.now() + 60))
    assert await world.think(1.0) is Profile.PAUSED
    world.clock.wall -= 3600.0
    assert await world.think(1.0) is Profile.PAUSED
    assert await world.think(59.0) > Profile.PAUSED


async def test_after_a_sleep_a_snooze_that_ended_meanwhile_is_over_and_all_is_read_anew(world: World) -> None:
    await world.think()
    world.intent.say(Word(snooze_until=world.clock.now() + 60))
    assert await world.think(1.0) is Profile.PAUSED
    before = world.said.reads["session"]
    world.clock.wall += 3600.0  # the clock that never jumps stands still meanwhile
    assert await world.think(1.0) > Profile.PAUSED
    assert world.said.reads["session"] > before


async def test_sleep_waits_until_the_work_is_handed_back_and_no_longer(world: World) -> None:
    taken = asyncio.Event()

    async def hand_over() -> None:
        await taken.wait()

    departure = Departure(world.sensors, hand_over)

    async def think() -> None:
        await world.think(1.0)
        departure.mind(world.governor.activity, world.governor.decision)

    await think()
    assert world.said.sleep_delayed
    world.said.session = replace(world.said.session, leaving="suspend")
    world.said.changed()
    await think()
    await think()
    assert world.said.sleep_delayed
    taken.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not world.said.sleep_delayed
    world.said.session = Session(active=True)
    world.said.changed()
    await think()
    assert not world.said.sleep_delayed  # nothing is shared yet
    await world.think(31.0)
    departure.mind(world.governor.activity, world.governor.decision)
    assert world.said.sleep_delayed
