"""What the person said: kept over restarts, ended by the clock on the wall, and no longer for a clock set back."""

from __future__ import annotations

from pathlib import Path

import pytest

from gogrid_desktop.agent.intent import Intent, Said
from gogrid_desktop.agent.suggestions import MOST, Suggestions
from gogrid_desktop.core.activity import Preferences

NOW, MONO = 1_700_000_000.0, 500.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "intent.json"


@pytest.mark.parametrize(
    "said", [Said(snooze_until=NOW + 60), Said(until_away=True), Said(anyway_until=NOW + 60), Said(drain=True)]
)
def test_what_was_said_holds_after_a_restart(said: Said, file: Path) -> None:
    Intent(file).say(said)
    assert Intent(file).said == said
    assert file.stat().st_mode & 0o777 == 0o600


def test_nothing_said_leaves_no_file(file: Path) -> None:
    intent = Intent(file)
    intent.say(Said(drain=True))
    intent.say(Said())
    assert not file.exists()
    assert Intent(file).said == Said()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"snooze_until": "soon"}', '{"drain": 3}', "\x00\xff"])
def test_a_file_that_makes_no_sense_is_forgotten(text: str, file: Path) -> None:
    file.parent.mkdir()
    file.write_text(text)
    assert Intent(file).said == Said()


def test_what_has_ended_is_forgotten_and_nothing_else(file: Path) -> None:
    intent = Intent(file)
    intent.say(Said(snooze_until=NOW, anyway_until=NOW + 1, drain=True))
    intent.expire(NOW)
    assert intent.said == Said(anyway_until=NOW + 1, drain=True)


def test_the_ends_are_handed_on_by_the_clock_that_never_jumps(file: Path) -> None:
    intent = Intent(file)
    intent.say(Said(snooze_until=NOW + 60, until_away=True, anyway_until=NOW + 90, drain=True))
    applied = intent.applied(Preferences(), NOW, MONO)
    assert (applied.snooze_until, applied.anyway_until) == (MONO + 60, MONO + 90)
    assert applied.until_away and applied.drain


def test_a_clock_that_is_set_back_takes_the_ends_along(file: Path) -> None:
    intent = Intent(file)
    intent.say(Said(snooze_until=NOW + 60))
    intent.move(-3600.0)
    assert intent.applied(Preferences(), NOW - 3600.0, MONO).snooze_until == MONO + 60


def test_two_pauses_with_the_same_program_in_front_suggest_a_rule_once(tmp_path: Path) -> None:
    file = tmp_path / "suggestions.json"
    learned = Suggestions(file)
    learned.paused("doom")
    learned.paused("")
    assert learned.sentence(frozenset()) == ""
    learned.paused("doom")
    assert Suggestions(file).sentence(frozenset({"zoom"})) == (
        "You paused 2 times while doom was in front. Always pause for it:"
        " gogrid settings set applications.pause_for zoom,doom"
    )
    assert learned.sentence(frozenset({"doom"})) == ""


def test_what_is_learned_stays_small_and_survives_a_broken_file(tmp_path: Path) -> None:
    file = tmp_path / "suggestions.json"
    file.write_text('["no"]')
    learned = Suggestions(file)
    for number in range(MOST + 20):
        learned.paused(f"program-{number}")
    learned.paused("program-69")
    assert "program-69" in Suggestions(file).sentence(frozenset())
    assert file.read_text().count("program-") == MOST
