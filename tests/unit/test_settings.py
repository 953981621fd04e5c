"""Settings: their bounds, their file, and what becomes of a file that is not as it should be."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gogrid_desktop.config import store as store_module
from gogrid_desktop.config.fields import FIELDS, allowed
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.config.store import SettingsStore, change
from gogrid_desktop.core.activity import Preferences, Role
from gogrid_desktop.core.profiles import Limits, Profile
from gogrid_desktop.core.sharing import GROUP_NAMES
from gogrid_desktop.core.windows import DEFAULT_ROWS, parse_grid
from gogrid_desktop.errors import ConfigError, GoGridError, StorageFull

GRID = ["P" * 24] * 6 + ["a" * 24]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "settings.toml"


def written(file: Path, text: str | bytes) -> SettingsStore:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return SettingsStore(file)


# --- values ----------------------------------------------------------------------------------------------------------

GOOD: list[tuple[str, object, object]] = [
    ("screen.ignore", "/usr/bin/mpv, C:\\Games\\Chess.exe,vlc", ("mpv", "Chess.exe", "vlc")),
    ("power.pause_on_battery", "false", False),
    ("role", "server", "server"),
    ("sharing.enabled", "false", False),
    ("sharing.enabled", True, True),
    ("sharing.profile", "custom", "custom"),
    ("sharing.custom.compute_share", "0", 0.0),
    ("sharing.custom.vram_fraction", 1, 1.0),
    ("sharing.custom.nice", "19", 19),
    ("sharing.custom.batch", "64", 64),
    ("sharing.custom.ionice_class", 0, 0),
    ("sharing.custom.ionice_level", 7, 7),
    ("sharing.custom.interval_ms", "0", 0),
    ("presence.away_after_s", "10", 10),
    ("presence.away_after_s", 86_400, 86_400),
    ("presence.while_present", "paused", "paused"),
    ("schedule.grid", GRID, tuple(row.upper() for row in GRID)),
    ("schedule.grid", ",".join(GRID), tuple(row.upper() for row in GRID)),
    ("grid.coordinator", "https://grid.example/", "https://grid.example"),
    ("grid.node_name", "Büro", "Büro"),
    ("models.folder", "/models", Path("/models")),
    ("models.folder", "", None),
    ("models.files", "/a.gguf, /b.gguf", (Path("/a.gguf"), Path("/b.gguf"))),
    ("models.files", "", ()),
    ("worker.threads", "1024", 1024),
    ("worker.gpu_layers", "-1", -1),
    ("secrets.allow_plaintext", "yes", True),
    ("log.level", "debug", "debug"),
    ("work.chat", "0", 0),
    ("work.embedding", 64, 64),
    ("work.share_with", "own", "own"),
    ("work.groups", " Family, lab-2,family", ("family", "lab-2")),
    ("work.groups", "", ()),
]

BAD: list[tuple[str, object, str]] = [
    ("role", "toaster", "desktop, server"),
    ("sharing.enabled", "perhaps", "true or false"),
    ("sharing.profile", "paused", "conservative, balanced, aggressive, custom"),
    ("sharing.custom.compute_share", "1.01", "a number from 0 to 1"),
    ("sharing.custom.compute_share", "nan", "a number from 0 to 1"),
    ("sharing.custom.vram_fraction", -0.01, "a number from 0 to 1"),
    ("sharing.custom.vram_fraction", 2**64 - 1, "a number from 0 to 1"),
    ("sharing.custom.nice", "-1", "a whole number from 0 to 19"),
    ("sharing.custom.nice", "20", "a whole number from 0 to 19"),
    ("sharing.custom.ionice_class", 4, "a whole number from 0 to 3"),
    ("sharing.custom.ionice_level", 8, "a whole number from 0 to 7"),
    ("sharing.custom.interval_ms", -1, "a whole number from 0 to 3600000 ms"),
    ("sharing.custom.interval_ms", 2**64 - 1, "a whole number from 0 to 3600000 ms"),
    ("sharing.custom.batch", 0, "a whole number from 1 to 64"),
    ("sharing.custom.batch", "2.5", "a whole number from 1 to 64"),
    ("presence.away_after_s", 9, "a whole number from 10 to 86400 s"),
    ("presence.away_after_s", "soon", "a whole number from 10 to 86400 s"),
    ("schedule.grid", ["A" * 24] * 6, "a week has 7 rows, not 6"),
    ("schedule.grid", 7, "Input should be a valid tuple"),
    ("grid.coordinator", "ftp://grid", "an address that begins with https:// (http:// for this machine alone)"),
    ("grid.node_name", "x" * 65, "a text of at most 64 characters"),
    ("models.context_tokens", 255, "a whole number from 256 to 1048576 tokens"),
    ("worker.threads", 1025, "a whole number from 0 to 1024"),
    ("log.level", "loud", "debug, info, warning, error"),
    ("work.batch", -1, "a whole number from 0 to 64"),
    ("work.chat", 65, "a whole number from 0 to 64"),
    ("work.share_with", "friends", "everyone, groups, own"),
    ("work.groups", "my family", GROUP_NAMES),
]


@pytest.mark.parametrize(("name", "value", "taken"), GOOD)
def test_a_value_within_its_bounds_is_taken_as_its_type(name: str, value: object, taken: object) -> None:
    found: Any = change(Settings(), {name: value})
    for part in name.split("."):
        found = getattr(found, part)
    assert found == taken
    assert type(found) is type(taken) or isinstance(found, Path)


@pytest.mark.parametrize(("name", "value", "words"), BAD)
def test_a_value_out_of_bounds_is_refused_with_field_value_and_what_is_allowed(
    name: str, value: object, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        change(Settings(), {name: value})
    error = caught.value
    assert (error.field, error.value, error.allowed) == (name, value, words)
    assert error.message == f"{name} = {value!r} is not allowed: {words}."
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("presence.away", "Did you mean presence.away_after_s?"),
        ("shring.enabled", "Did you mean sharing.enabled"),
        ("schedule", "Did you mean schedule.grid?"),
        ("version", "gogrid settings show"),
        ("zzz", "gogrid settings show"),
        ("sharing.enabled.really", "Did you mean sharing.enabled"),
    ],
)
def test_an_unknown_name_is_refused_with_what_it_may_have_meant(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="no setting of this name") as caught:
        change(Settings(), {name: "1"})
    assert hint in caught.value.remedy


def test_a_very_long_value_does_not_fill_the_message() -> None:
    with pytest.raises(ConfigError) as caught:
        change(Settings(), {"log.level": "x" * 100_000})
    assert len(str(caught.value)) < 500


def test_every_setting_says_what_it_is() -> None:
    assert set(FIELDS) == set(Settings().flat())
    for name, field in FIELDS.items():
        assert field.description, name
    assert [name for name in FIELDS if not allowed(name)] == ["schedule.grid", "models.folder", "models.files"]


@given(st.sampled_from(sorted(FIELDS)), st.none() | st.booleans() | st.integers() | st.floats() | st.text())
@hypothesis_settings(deadline=None)
def test_any_value_for_any_setting_is_taken_or_refused_in_words(name: str, value: object) -> None:
    try:
        changed = change(Settings(), {name: value})
    except ConfigError as error:
        assert error.field == name
        assert error.allowed
    else:
        assert Settings.model_validate(changed.model_dump(mode="json")) == changed


# --- what the policy gets --------------------------------------------------------------------------------------------


def test_the_defaults_of_the_settings_are_those_of_the_policy() -> None:
    assert Settings().preferences() == Preferences()


def test_the_policy_gets_what_the_person_set() -> None:
    wanted = change(
        Settings(),
        {
            "role": "server",
            "sharing.enabled": False,
            "sharing.profile": "balanced",
            "sharing.at_most": "conservative",
            "presence.away_after_s": 60,
            "presence.while_present": "paused",
            "schedule.grid": GRID,
        },
    ).preferences()
    assert wanted == Preferences(
        role=Role.SERVER,
        sharing=False,
        card=Profile.BALANCED,
        at_most=Profile.CONSERVATIVE,
        away_after_s=60.0,
        while_present=Profile.PAUSED,
        grid=parse_grid(GRID),
    )


def test_custom_limits_count_only_where_the_profile_is_custom() -> None:
    some = {"sharing.custom.batch": 3, "sharing.custom.ionice_class": 2, "sharing.custom.ionice_level": 6}
    assert change(Settings(), dict(some)).preferences().custom is None
    wanted = change(Settings(), {**some, "sharing.profile": "custom"}).preferences()
    assert wanted.card is Profile.AGGRESSIVE
    assert wanted.custom == Limits(0.8, 0.7, 3, 10, 2, 6, 50)


def test_a_disk_class_without_levels_has_none() -> None:
    wanted = change(Settings(), {"sharing.profile": "custom", "sharing.custom.ionice_class": 3}).preferences()
    assert wanted.custom is not None
    assert wanted.custom.ionice_level is None


# --- the file --------------------------------------------------------------------------------------------------------


def test_without_a_file_there_are_the_defaults_and_none_is_made(file: Path) -> None:
    store = SettingsStore(file)
    assert store.settings == Settings()
    assert store.notice == ""
    assert not file.parent.exists()


def test_what_was_changed_is_read_again(file: Path) -> None:
    SettingsStore(file).change({"presence.away_after_s": "60", "schedule.grid": GRID, "models.files": "/a.gguf"})
    again = SettingsStore(file)
    assert again.notice == ""
    assert again.settings.presence.away_after_s == 60
    assert again.settings.schedule.grid == tuple(row.upper() for row in GRID)
    assert again.settings.models.files == (Path("/a.gguf"),)


def test_the_file_is_for_its_owner_alone_and_nothing_else_is_left(file: Path) -> None:
    SettingsStore(file).change({"log.level": "debug"})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_the_file_holds_only_what_was_set(file: Path) -> None:
    SettingsStore(file).change({"sharing.custom.nice": 12})
    assert tomlkit.parse(file.read_text()).unwrap() == {"version": 1, "sharing": {"custom": {"nice": 12}}}


def test_comments_and_what_is_not_ours_stay_in_the_file(file: Path) -> None:
    text = 'version = 1\n# mine\n[presence]\naway_after_s = 300 # tea\n[extra]\nkey = "kept"\n'
    written(file, text).change({"presence.away_after_s": 60})
    assert file.read_text() == text.replace("300", "60")


@pytest.mark.parametrize(
    "text",
    [
        "presence.while_present = 'paused'\n",
        "presence = { while_present = 'paused' }\n",
        "[presence]\nwhile_present = 'paused'\n[log]\nlevel = 'debug'\n[sharing.custom]\nnice = 3\n",
        "[presence]\nwhile_present = 'paused'\n[sharing]\nenabled = true\n[worker]\n[sharing.custom]\nnice = 3\n",
        "[sharing.custom]\nnice = 3\n[presence]\nwhile_present = 'paused'\n[sharing]\nenabled = true\n",
        "[presence]\r\nwhile_present = 'paused'\r\n",
    ],
)
def test_a_value_finds_its_place_however_the_person_writes_toml(text: str, file: Path) -> None:
    store = written(file, text)
    before = store.settings
    assert before.presence.while_present == "paused"
    values: dict[str, object] = {"presence.away_after_s": 60, "sharing.custom.batch": 9, "sharing.at_most": "balanced"}
    store.change(values)
    again = SettingsStore(file)
    assert again.notice == ""
    assert again.settings == change(before, values)


def test_a_value_of_none_is_taken_out_of_the_file(file: Path) -> None:
    store = SettingsStore(file)
    store.change({"models.folder": "/models"})
    store.change({"models.folder": ""})
    assert "folder" not in file.read_text()
    assert SettingsStore(file).settings.models.folder is None


def test_all_is_changed_or_nothing(file: Path) -> None:
    store = SettingsStore(file)
    store.change({"log.level": "debug"})
    before, text = store.settings, file.read_text()
    with pytest.raises(ConfigError):
        store.change({"log.level": "info", "presence.away_after_s": 1})
    assert (store.settings, file.read_text()) == (before, text)


def test_a_full_disk_changes_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SettingsStore(file)
    store.change({"log.level": "debug"})
    before, text = store.settings, file.read_text()

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gogrid_desktop.paths.os.fsync", full)
    with pytest.raises(StorageFull, match="full"):
        store.change({"log.level": "info"})
    assert (store.settings, file.read_text()) == (before, text)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_file_that_cannot_be_written_is_said_so(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, data: bytes) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(store_module, "write_private", refuse)
    with pytest.raises(GoGridError, match="cannot be written: Permission denied"):
        SettingsStore(file).change({"log.level": "info"})


def test_a_file_that_cannot_be_read_at_all_is_an_error_with_a_remedy(file: Path) -> None:
    file.mkdir(parents=True)
    with pytest.raises(GoGridError, match="cannot be read") as caught:
        SettingsStore(file)
    assert caught.value.remedy


CORRUPT: list[str | bytes] = [
    "this is = = no toml",
    b"\xff\xfe\x00",
    "version = 'one'",
    "version = 0",
    "version = true",
    "[sharing",
]


@pytest.mark.parametrize("content", CORRUPT)
def test_a_corrupt_file_is_kept_aside_and_the_defaults_are_used(content: str | bytes, file: Path) -> None:
    store = written(file, content)
    aside = file.with_name("settings.toml.broken-1")
    assert store.settings == Settings()
    assert aside.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert str(aside) in store.notice
    assert "defaults" in store.notice
    assert not file.exists()
    store.change({"log.level": "debug"})
    assert SettingsStore(file).settings.log.level == "debug"


def test_every_corrupt_file_is_kept(file: Path) -> None:
    for number in (1, 2, 3):
        assert written(file, f"broken {number}").notice.count(f"broken-{number}") == 1
    assert [file.with_name(f"settings.toml.broken-{n}").read_text() for n in (1, 2, 3)] == [
        "broken 1",
        "broken 2",
        "broken 3",
    ]


def test_a_file_of_a_newer_version_is_refused_and_left_alone(file: Path) -> None:
    with pytest.raises(ConfigError, match="version = 2") as caught:
        written(file, "version = 2\n")
    assert "Update GoGrid" in caught.value.remedy
    assert file.read_text() == "version = 2\n"


def test_unknown_names_are_named_and_left_alone(file: Path) -> None:
    text = "version = 1\n[worker]\nthreads = 3\nthraeds = 4\n[extra]\nkey = 1\n"
    store = written(file, text)
    assert store.settings.worker.threads == 3
    assert "worker.thraeds" in store.notice
    assert "extra.key" in store.notice
    assert file.read_text() == text
    assert store.settings.sharing.enabled


def test_a_value_that_cannot_be_taken_falls_back_alone(file: Path) -> None:
    store = written(file, "[log]\nlevel = 'loud'\n[worker]\nthreads = 3\n")
    assert (store.settings.log.level, store.settings.worker.threads) == ("info", 3)
    assert "log.level = 'loud' is not allowed: debug, info, warning, error." in store.notice
    assert store.settings.sharing.enabled


@pytest.mark.parametrize(
    "text",
    [
        "role = 'sever'",
        "[sharing]\nenabled = 'nope'",
        "[sharing]\nprofile = 'gentle'",
        "sharing = 3",
        "[presence]\nawya_after_s = 600",
        "[sharing.custom]\nvram_fraction = 30",
        "[presence]\naway_after_s = 1000000",
        "[schedule]\ngrid = ['P']",
        "[work]\nshare_with = 'me'",
        "[work]\nshare = 'own'",
        "[work]\ngroups = ['a b']",
    ],
)
def test_where_the_file_cannot_say_how_much_nothing_is_shared_until_the_person_says_so(text: str, file: Path) -> None:
    store = written(file, text)
    assert not store.settings.sharing.enabled
    assert "Sharing is off until you switch it on." in store.notice
    store.change({"sharing.enabled": True})
    assert store.settings.sharing.enabled


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@hypothesis_settings(deadline=None)
def test_no_file_whatever_is_in_it_keeps_us_from_starting(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.mktemp("any") / "settings.toml"
    file.write_bytes(data)
    store = SettingsStore(file)
    assert store.settings.schedule.grid == DEFAULT_ROWS
    kept = file if file.exists() else file.with_name("settings.toml.broken-1")
    assert kept.read_bytes() == data
