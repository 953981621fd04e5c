"""How soon a person who comes back has the computer to themselves: from a key to no step, and to gentle limits.

A real X server, coordinator, agent and worker; streams are answered all the time. The key is sent through XTEST at a
random moment while the person is away; its time is taken just before. The end is when the agent has the worker's word
that no step under the old limits runs, and the worker's journal must not know of a later token. The peer is BOINC,
which looks at the idle time now and then: from the key to its word that it suspends, with no task to stop.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from statistics import median
from typing import Any

from openai import OpenAIError
from Xlib import XK, X
from Xlib.display import Display
from Xlib.ext import xtest

from bench import boinc, desktop
from bench.claim import Claim, note
from bench.desktop import PrivateDesktop, until
from gogrid_desktop.cli.stage import Stage, open_stage
from gogrid_desktop.cli.submitter import Submitter
from gogrid_desktop.core.profiles import Profile
from gogrid_desktop.ipc import messages as m

TIMES, TIMES_XDOTOOL, TIMES_PEER = 200, 10, 20
STREAMS, TOKENS = 3, 400
#: The agent looks at the screen every 2 s: keys come at any moment of that.
LONGEST_WAIT_S = 2.0
MOST_MS = 100.0
PEER = "boinc, its decision"
_PATIENCE_S = 60.0


def claims() -> Iterator[Claim]:
    if lacking := desktop.missing():
        note(f"reaction needs {', '.join(lacking)}: scripts/system-packages desktop")
        return
    draw = random.Random(7)
    with PrivateDesktop(panel=False) as screen, open_stage(screen.environment) as stage:
        node = _Node(stage, screen)
        node.while_present("paused")
        paused = [node.react(Profile.PAUSED, draw, node.key) for _ in range(TIMES)]
        by_program = [node.react(Profile.PAUSED, draw, node.key_by_xdotool) for _ in range(TIMES_XDOTOOL)]
        note(f"key to no step, with the start of xdotool: median {median(by_program):.1f} ms of {TIMES_XDOTOOL}")
        node.while_present("conservative")
        gentle = [node.react(Profile.CONSERVATIVE, draw, node.key) for _ in range(TIMES)]
        node.close()
    peer = _peer_reactions(draw)
    yield from _claims("key to no step", paused, peer)
    yield from _claims("key to conservative limits", gentle, peer)


class _Node:
    """A grid with one node that always has work."""

    def __init__(self, stage: Stage, screen: PrivateDesktop) -> None:
        self._stage, self._screen = stage, screen
        self._keyboard = _Keyboard(screen.x)
        self._yields = stage.home / "yields.jsonl"
        self._yields.touch()
        stage.start_coordinator()
        invite = json.loads(stage.gogrid("coordinator", "invite", "--json"))["invite"]
        key = json.loads(stage.gogrid("coordinator", "key", "--json"))["key"]
        stage.gogrid("settings", "set", "power.pause_on_battery", "false", "sharing.take_turns", "false")
        # A model is kept however long nobody asks for it: the time that is skipped is no time to load it again.
        stage.gogrid("settings", "set", "presence.away_after_s", "10", "models.unload_after_s", "86400")
        stage.gogrid("join", stage.url, invite, "--allow-plaintext-token")
        stage.start_agent(plaintext=False, command=(sys.executable, "-m", "bench.skipping_agent", str(self._yields)))
        self._streams = Streams(Submitter(stage.url, key))

    def close(self) -> None:
        self._streams.stop()

    def while_present(self, setting: str) -> None:
        self._stage.gogrid("settings", "set", "presence.while_present", setting)

    def key(self) -> float:
        return self._keyboard.press()

    def key_by_xdotool(self) -> float:
        pressed_s = time.monotonic()
        self._screen.xdotool("key", "a")
        return pressed_s

    def react(self, profile: Profile, draw: random.Random, press: Callable[[], float]) -> float:
        """Milliseconds from a key at a random moment until the limits of this profile hold."""
        while True:
            self._go_away()
            self._decodes()
            time.sleep(draw.uniform(0.0, LONGEST_WAIT_S))
            pressed_s = press()
            gave_way = self._gave_way(profile, pressed_s)
            if gave_way["working"]:  # otherwise all streams had just ended
                if profile is Profile.PAUSED:
                    self._nothing_came_after(gave_way["held"])
                return float(1000 * (gave_way["held"] - pressed_s))

    def _go_away(self) -> None:
        """Nobody touches the computer for a long time, as the agent sees it."""

        def shares() -> bool:
            self._streams.check()
            self._stage.process("agent").send_signal(signal.SIGUSR1)
            time.sleep(0.02)
            return self._stage.tell(m.Resume(id=1)).profile >= Profile.BALANCED

        until("the person is away", shares, _PATIENCE_S)

    def _decodes(self) -> None:
        """Each of the streams has a new token: a job that never gets one is given up by the coordinator."""
        journal = self._stage.journal
        before = journal.stat().st_size

        def all_have_tokens() -> bool:
            self._streams.check()
            with journal.open("rb") as file:
                file.seek(before)
                new = [json.loads(line) for line in file.read().rpartition(b"\n")[0].splitlines()]
            return len({each["lease"] for each in new if "count" in each}) >= STREAMS

        until("tokens are made", all_have_tokens, _PATIENCE_S)

    def _nothing_came_after(self, held_s: float) -> None:
        time.sleep(0.1)
        last_s = self._stage.journal.stat().st_mtime - (time.time() - time.monotonic())
        if last_s > held_s:
            raise ValueError(f"a token was made {1000 * (last_s - held_s):.1f} ms after the worker had stopped")

    def _gave_way(self, profile: Profile, pressed_s: float) -> dict[str, Any]:
        """The first time, from then on, that it gave way so far."""
        end_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end_s:
            complete = self._yields.read_text().rpartition("\n")[0]
            for each in map(json.loads, complete.splitlines()):
                if each["held"] >= pressed_s and each["profile"] == profile.word:
                    return dict(each)
            time.sleep(0.02)
        raise TimeoutError(f"the agent did not give way within {_PATIENCE_S:g} s")


class Streams:
    """Keeps `STREAMS` answers in the making."""

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter
        self._over = threading.Event()
        self._problem = ""
        self._numbers = count()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(STREAMS)]
        for thread in self._threads:
            thread.start()

    def check(self) -> None:
        """Raises RuntimeError when an answer failed."""
        if self._problem:
            raise RuntimeError(f"an answer failed: {self._problem}")

    def stop(self) -> None:
        """No new answers; those in the making are left to their end."""
        self._over.set()

    def _ask(self) -> None:
        while not self._over.is_set():
            number = next(self._numbers)
            prompt = f"Write a long story about a ship with {number + 2} sails."
            try:
                self._submitter.chat(prompt, TOKENS, lambda _: None, number)
            except OpenAIError as error:
                if not self._over.is_set():
                    self._problem = str(error)
                return


class _Keyboard:
    """A key as XTEST sends it, which the server takes for one of a real keyboard."""

    def __init__(self, x: Display) -> None:
        self._x = x
        self._key = x.keysym_to_keycode(XK.string_to_keysym("a"))

    def press(self) -> float:
        """When (monotonic)."""
        pressed_s = time.monotonic()
        xtest.fake_input(self._x, X.KeyPress, self._key)
        self._x.flush()
        xtest.fake_input(self._x, X.KeyRelease, self._key)
        self._x.flush()
        return pressed_s


def _peer_reactions(draw: random.Random) -> list[float] | None:
    """Milliseconds from a key to BOINC's word that it suspends."""
    if lacking := desktop.missing(boinc.PROGRAMS):
        note(f"there is no peer: {', '.join(lacking)} not installed (scripts/system-packages bench)")
        return None
    times_ms = []
    with PrivateDesktop(panel=False) as screen:
        keyboard = _Keyboard(screen.x)
        with boinc.Boinc(screen).connect() as asked:
            for _ in range(TIMES_PEER):
                until("BOINC works", lambda: not boinc.user_is_active(asked), _PATIENCE_S)
                time.sleep(draw.uniform(0.0, LONGEST_WAIT_S))
                pressed_s = keyboard.press()
                until("BOINC suspends", lambda: boinc.user_is_active(asked), _PATIENCE_S, every_s=0.01)
                times_ms.append(1000 * (time.monotonic() - pressed_s))
    return times_ms


def _claims(what: str, times_ms: list[float], peer_ms: list[float] | None) -> Iterator[Claim]:
    ordered = sorted(times_ms)
    note(f"{what}: worst five {' '.join(f'{each:.1f}' for each in ordered[-5:])} ms")
    peer = None if peer_ms is None else f"{PEER}, of {len(peer_ms)}"
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        value, peer_value = rank(ordered, part), None if peer_ms is None else rank(sorted(peer_ms), part)
        yield Claim(
            bench=f"reaction, {what}, {name} of {len(ordered)}",
            value=round(value, 1),
            unit="ms",
            peer=peer,
            peer_value=None if peer_value is None else round(peer_value, 1),
            bound=f"<= {MOST_MS:g} ms",
            holds=value <= MOST_MS,
        )


def rank(ordered: list[float], part: float) -> float:
    """The value that this part of them is not above (nearest rank)."""
    return ordered[max(0, -int(-len(ordered) * part // 1) - 1)]
