"""What a person does without touching anything: services that python-dbusmock plays, and trees as of the kernel."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from fixtures_core_foundation import FakeFoundation, Function
from fixtures_dbus import Mock, PrivateBus, bus, eventually, needs_bus, no_bus

from gogrid_desktop.core.attention import Attention
from gogrid_desktop.system import dbus, host
from gogrid_desktop.system.attention import SOMEBODY, AttentionProbe
from gogrid_desktop.system.attention.call import CAMERA_EVERY_S, Calls
from gogrid_desktop.system.attention.game_mode import GameMode
from gogrid_desktop.system.attention.inhibitors import Inhibitors
from gogrid_desktop.system.attention.linux import LinuxAttention
from gogrid_desktop.system.attention.macos import MacAttention
from gogrid_desktop.system.attention.null import NullAttention
from gogrid_desktop.system.attention.windows import CONSENT_STORE, WindowsAttention
from gogrid_desktop.system.dbus import Bus

__all__ = ["bus", "no_bus"]

GNOME, GNOME_PATH = "org.gnome.SessionManager", "/org/gnome/SessionManager"
KDE, KDE_PATH = "org.kde.Solid.PowerManagement.PolicyAgent", "/org/kde/Solid/PowerManagement/PolicyAgent"
LOGIND, LOGIND_PATH = "org.freedesktop.login1", "/org/freedesktop/login1"
GAMES, GAMES_PATH = "com.feralinteractive.GameMode", "/com/feralinteractive/GameMode"
PLAYER_PID = 4321


@pytest.fixture
def session() -> Iterator[Bus]:
    it = Bus("SESSION")
    yield it
    it.close()


@pytest.fixture
def inhibitors(session: Bus) -> Iterator[Inhibitors]:
    system = Bus("SYSTEM")
    yield Inhibitors(session, system, os.getpid())
    system.close()


class Gnome:
    """gnome-session with inhibitors of our making."""

    def __init__(self, bus: PrivateBus) -> None:
        self.mock: Mock = bus.mock(GNOME, GNOME_PATH, GNOME)
        self.mock.method("IsInhibited", "u", "b", "ret = bool(getattr(self, 'all_flags', 0) & args[0])")
        self.mock.method("GetInhibitors", "", "ao", "ret = getattr(self, 'listed', dbus.Array([], signature='o'))")
        add = "self.listed = getattr(self, 'listed', []) + [args[0]]"
        add += "; self.all_flags = getattr(self, 'all_flags', 0) | args[1]"
        self.mock.method("Add", "ou", "", add)

    def hold(self, number: int, app: str, flags: int) -> None:
        path, interface = f"{GNOME_PATH}/Inhibitor{number}", f"{GNOME}.Inhibitor"
        name = ("GetAppId", "", "s", f"ret = {app!r}")
        self.mock.object(path, interface, {}, name, ("GetFlags", "", "u", f"ret = {flags}"))
        self.mock._bus.peer.ask(GNOME, GNOME_PATH, GNOME, "Add", "ou", path, flags)
        self.mock.emit("InhibitorAdded", "o", ("o", path))


def kde(bus: PrivateBus, held: bool, signature: str = "a(ss)", listed: str = "[]") -> Mock:
    mock = bus.mock(KDE, KDE_PATH, KDE)
    mock.method("HasInhibition", "u", "b", f"ret = {held} and args[0] == 4")
    mock.method("ListInhibitions", "", signature, f"ret = {listed}")
    return mock


def logind(bus: PrivateBus, *held: tuple[str, str, str, int]) -> Mock:
    mock = bus.mock(LOGIND, LOGIND_PATH, f"{LOGIND}.Manager")
    listed = [(what, who, "because", mode, 1000, pid) for what, who, mode, pid in held]
    mock.method("ListInhibitors", "", "a(ssssuu)", f"ret = dbus.Array({listed}, signature='(ssssuu)')")
    return mock


@needs_bus
class TestInhibitors:
    def test_a_film_under_gnome_is_named(self, bus: PrivateBus, inhibitors: Inhibitors) -> None:
        gnome = Gnome(bus)
        assert inhibitors.read() == ""
        gnome.hold(1, "org.gnome.Software", 4)
        assert inhibitors.read() == ""
        gnome.hold(2, "org.gnome.Totem", 12)
        assert inhibitors.read() == "org.gnome.Totem"

    def test_who_gives_gnome_no_name_is_somebody(self, bus: PrivateBus, inhibitors: Inhibitors) -> None:
        Gnome(bus).hold(1, "", 8)
        assert inhibitors.read() == SOMEBODY

    def test_a_desktop_that_tells_gnomes_yes_and_no_names_is_somebody(
        self, bus: PrivateBus, inhibitors: Inhibitors
    ) -> None:
        bus.mock(GNOME, GNOME_PATH, GNOME).method("IsInhibited", "u", "b", "ret = True")
        assert inhibitors.read() == SOMEBODY

    @pytest.mark.parametrize(
        ("signature", "listed"),
        [
            ("a(ss)", "[('mpv', 'playing')]"),
            ("aas", "[['mpv', 'playing']]"),
            ("a{ss}", "{'mpv': 'playing'}"),
        ],
    )
    def test_a_film_under_plasma_is_named(
        self, signature: str, listed: str, bus: PrivateBus, inhibitors: Inhibitors
    ) -> None:
        kde(bus, True, signature, listed)
        assert inhibitors.read() == "mpv"

    @pytest.mark.parametrize(
        ("signature", "listed"), [("as", "['mpv']"), ("u", "7"), ("a(ss)", "dbus.Array([], signature='(ss)')")]
    )
    def test_a_list_of_plasmas_that_makes_no_sense_is_somebody(
        self, signature: str, listed: str, bus: PrivateBus, inhibitors: Inhibitors
    ) -> None:
        kde(bus, True, signature, listed)
        assert inhibitors.read() == SOMEBODY

    def test_a_newer_plasma_tells_who_holds_the_screen(self, bus: PrivateBus, inhibitors: Inhibitors) -> None:
        mock = kde(bus, True)
        active = [("sleep", "backup", "saves", "block", 3), ("sleep:idle", "mpv", "playing", "block", 3)]
        mock.property("ActiveInhibitions", "a(ssssu)", active)
        assert inhibitors.read() == "mpv"

    def test_plasma_without_one_is_nobody(self, bus: PrivateBus, inhibitors: Inhibitors) -> None:
        kde(bus, False)
        assert inhibitors.read() == ""

    @pytest.mark.parametrize(
        ("held", "who"),
        [
            (("idle", "mpv", "block", PLAYER_PID), "mpv"),
            (("sleep:idle", "mpv", "block-weak", PLAYER_PID), "mpv"),
            (("idle", "", "block", PLAYER_PID), SOMEBODY),
            (("idle", "mpv", "delay", PLAYER_PID), ""),
            (("sleep:handle-lid-switch", "UPower", "block", PLAYER_PID), ""),
            (("idle", "GoGrid", "block", os.getpid()), ""),
        ],
    )
    def test_logind_names_who_blocks_idleness(
        self, held: tuple[str, str, str, int], who: str, bus: PrivateBus, inhibitors: Inhibitors
    ) -> None:
        logind(bus, ("sleep", "NetworkManager", "delay", 700), held)
        assert inhibitors.read() == who

    def test_one_that_holds_it_is_enough(self, bus: PrivateBus, inhibitors: Inhibitors) -> None:
        Gnome(bus)
        logind(bus, ("idle", "mpv", "block", PLAYER_PID))
        bus.mock(KDE, KDE_PATH, KDE)  # and this one knows nothing
        assert inhibitors.read() == "mpv"

    def test_without_any_service_it_is_unknown(self, bus: PrivateBus, inhibitors: Inhibitors) -> None:
        assert inhibitors.read() is None

    def test_a_service_that_is_there_and_does_not_answer_makes_it_unknown(
        self, bus: PrivateBus, inhibitors: Inhibitors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        logind(bus)
        assert inhibitors.read() == ""
        bus.mock(GNOME, GNOME_PATH, GNOME).method("IsInhibited", "u", "b", "time.sleep(60)")
        monkeypatch.setattr(dbus, "LIMIT_S", 0.3)
        assert inhibitors.read() is None

    def test_a_new_one_is_told_at_once(self, bus: PrivateBus, inhibitors: Inhibitors) -> None:
        gnome, plasma, manager = Gnome(bus), kde(bus, False), logind(bus)
        changed = threading.Event()
        inhibitors.watch(changed.set)
        assert inhibitors.read() == ""
        changed.clear()
        gnome.hold(1, "org.gnome.Totem", 8)
        assert changed.wait(20.0)
        assert inhibitors.read() == "org.gnome.Totem"
        for mock, signal, signature, values in (
            (gnome.mock, "InhibitorRemoved", "o", [("o", f"{GNOME_PATH}/Inhibitor1")]),
            (plasma, "InhibitionsChanged", "a{ss}as", [("a{ss}", {}), ("as", [])]),
        ):
            changed.clear()
            mock.emit(signal, signature, *values)
            assert changed.wait(20.0)
        changed.clear()
        manager.property("BlockInhibited", "s", "idle")
        manager.update(BlockInhibited=("s", ""))
        assert changed.wait(20.0)


@needs_bus
class TestGameMode:
    @pytest.fixture
    def games(self, bus: PrivateBus) -> Mock:
        mock = bus.mock(GAMES, GAMES_PATH, GAMES)
        mock.property("ClientCount", "i", 0)
        return mock

    def test_a_game_that_asked_is_seen(self, games: Mock, session: Bus) -> None:
        mode, changed = GameMode(session), threading.Event()
        mode.watch(changed.set)
        assert mode.read() is False
        changed.clear()
        games.update(ClientCount=("i", 2))
        assert changed.wait(20.0)
        assert mode.read() is True
        changed.clear()
        games.emit("GameUnregistered", "io", ("i", PLAYER_PID), ("o", f"{GAMES_PATH}/Games/{PLAYER_PID}"))
        assert changed.wait(20.0)

    def test_without_the_service_no_game_asked(self, bus: PrivateBus, session: Bus) -> None:
        assert GameMode(session).read() is False

    def test_a_service_that_comes_is_told(self, bus: PrivateBus, session: Bus) -> None:
        mode, changed = GameMode(session), threading.Event()
        mode.watch(changed.set)
        assert mode.read() is False
        bus.mock(GAMES, GAMES_PATH, GAMES).property("ClientCount", "i", 1)
        assert changed.wait(20.0)
        assert eventually(lambda: mode.read() is True)

    @pytest.mark.parametrize("lie", [("s", "two"), ("i", -1)])
    def test_a_count_that_makes_no_sense_is_unknown(self, lie: tuple[str, Any], bus: PrivateBus, session: Bus) -> None:
        bus.mock(GAMES, GAMES_PATH, GAMES).property("ClientCount", *lie)
        assert GameMode(session).read() is None

    def test_without_a_bus_it_is_unknown(self, no_bus: None, session: Bus) -> None:
        assert GameMode(session).read() is None


class Machine:
    """A tree of /proc and /dev, with a clock that this test moves."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.at_s = 1000.0
        (root / "proc").mkdir()
        (root / "dev").mkdir()
        self.calls = Calls(root, lambda: self.at_s)

    def sound(self, stream: str, text: str) -> None:
        status = self.root / "proc/asound/card0" / stream / "sub0/status"
        status.parent.mkdir(parents=True, exist_ok=True)
        status.write_text(text)

    def camera(self, name: str) -> None:
        (self.root / "dev" / name).touch()

    def opened(self, pid: int, *files: str) -> None:
        folder = self.root / "proc" / str(pid) / "fd"
        folder.mkdir(parents=True, exist_ok=True)
        for number, file in enumerate(files):
            (folder / str(number)).symlink_to(self.root / file)

    def closed(self, pid: int) -> None:
        for file in (self.root / "proc" / str(pid) / "fd").iterdir():
            file.unlink()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


RUNNING = "state: RUNNING\nowner_pid   : 1234\ntrigger_time: 8253.2\n"


class TestCalls:
    def test_a_microphone_that_records_is_seen(self, machine: Machine) -> None:
        machine.sound("pcm0c", "closed\n")
        assert machine.calls.read() == ""
        machine.sound("pcm0c", RUNNING)
        assert machine.calls.read() == "microphone"
        machine.sound("pcm0c", RUNNING.replace("RUNNING", "SETUP"))
        assert machine.calls.read() == ""

    def test_music_is_no_call(self, machine: Machine) -> None:
        machine.sound("pcm0p", RUNNING)
        assert machine.calls.read() == ""

    def test_a_camera_that_a_process_holds_open_is_seen(self, machine: Machine) -> None:
        machine.camera("video0")
        machine.opened(77, "dev/null", "dev/video0")
        assert machine.calls.read() == "camera"

    def test_a_camera_that_nobody_holds_is_not_in_use(self, machine: Machine) -> None:
        machine.camera("video0")
        machine.opened(77, "dev/null", "home/video0", "dev/video0.txt")
        assert machine.calls.read() == ""

    def test_without_a_camera_open_files_are_not_looked_through(self, machine: Machine) -> None:
        machine.opened(77, "dev/video0")
        assert machine.calls.read() == ""

    def test_open_files_are_looked_through_every_ten_seconds(self, machine: Machine) -> None:
        machine.camera("video0")
        assert machine.calls.read() == ""
        machine.opened(77, "dev/video0")
        machine.at_s += CAMERA_EVERY_S - 0.1
        assert machine.calls.read() == ""
        machine.at_s += 0.1
        assert machine.calls.read() == "camera"
        machine.closed(77)
        assert machine.calls.read() == "camera"
        machine.at_s += CAMERA_EVERY_S
        assert machine.calls.read() == ""

    def test_a_process_that_ends_while_it_is_looked_at_is_no_error(self, machine: Machine) -> None:
        machine.camera("video0")
        (machine.root / "proc/76").mkdir()  # its files have gone
        machine.opened(77, "dev/null", "dev/video0")
        entry = machine.root / "proc/77/fd/0"
        entry.unlink()
        entry.touch()  # no link (any longer)
        assert machine.calls.read() == "camera"

    def test_a_microphone_that_is_unplugged_is_no_error(self, machine: Machine) -> None:
        machine.sound("pcm0c", RUNNING)
        status = machine.root / "proc/asound/card0/pcm0c/sub0/status"
        status.unlink()
        status.mkdir()
        assert machine.calls.read() == ""

    def test_without_a_proc_it_is_unknown(self, tmp_path: Path) -> None:
        assert Calls(tmp_path).read() is None


@needs_bus
def test_all_of_it_is_one_reading(bus: PrivateBus, session: Bus, machine: Machine, inhibitors: Inhibitors) -> None:
    probe = LinuxAttention(inhibitors, GameMode(session), machine.calls)
    probe.watch(lambda: None)
    kde(bus, False)
    machine.sound("pcm0c", RUNNING)
    assert probe.read() == Attention(inhibitor="", game_mode=False, call="microphone")


NO_PROCESS = 2**22 + 5
DISPLAY = {"AssertType": "PreventUserIdleDisplaySleep", "AssertLevel": 255, "AssertName": "Playing"}
OURS = psutil.Process().name()


class TestMac:
    def probe(self, by_process: Any, *, answers: bool = True, pid: int = 1) -> tuple[MacAttention, FakeFoundation]:
        fake = FakeFoundation()

        def copy(reference: Any) -> int:
            assert isinstance(reference._obj, ctypes.c_void_p)
            if answers and by_process is not None:
                reference._obj.value = fake.copy(by_process)
            return 0 if answers else -536870212

        return MacAttention(SimpleNamespace(IOPMCopyAssertionsByProcess=Function(copy)), fake.foundation, pid), fake

    @pytest.mark.parametrize(
        ("by_process", "who"),
        [
            ({os.getpid(): [DISPLAY]}, OURS),
            ({NO_PROCESS: [DISPLAY]}, "Playing"),
            ({NO_PROCESS: [{"AssertType": "NoDisplaySleepAssertion"}]}, SOMEBODY),
            ({"-": [DISPLAY]}, "Playing"),
            ({NO_PROCESS: [{**DISPLAY, "AssertLevel": 0}]}, ""),
            ({NO_PROCESS: [{**DISPLAY, "AssertType": "PreventUserIdleSystemSleep"}, "?"], 77: "?"}, ""),
            ({}, ""),
            (None, ""),
            (["no dictionary"], None),
        ],
    )
    def test_who_keeps_the_display_awake_is_named(self, by_process: Any, who: str | None) -> None:
        probe, fake = self.probe(by_process)
        assert probe.read() == Attention(inhibitor=who)
        assert fake.owned == set()

    def test_what_we_hold_does_not_count(self) -> None:
        assert self.probe({os.getpid(): [DISPLAY]}, pid=os.getpid())[0].read() == Attention(inhibitor="")

    def test_what_does_not_answer_is_unknown(self) -> None:
        probe, _ = self.probe({}, answers=False)
        probe.watch(lambda: None)
        assert probe.read() == Attention()


class Registry:
    """winreg as far as we call it: folders of values."""

    HKEY_CURRENT_USER = 2**31 + 1

    def __init__(self, *folders: tuple[str, dict[str, Any]]) -> None:
        self.folders = {f"{CONSENT_STORE}\\{name}": values for name, values in folders}

    class Key:
        def __init__(self, below: list[str], values: dict[str, Any]) -> None:
            self.below, self.values = below, values

        def __enter__(self) -> Registry.Key:
            return self

        def __exit__(self, *_: object) -> None:
            self.below = []

    def OpenKey(self, root: int, folder: str) -> Key:
        assert root == self.HKEY_CURRENT_USER
        if not any(f"{each}\\".startswith(f"{folder}\\") for each in self.folders):
            raise FileNotFoundError(2, folder)
        below = {each[len(folder) + 1 :].partition("\\")[0] for each in self.folders if each.startswith(f"{folder}\\")}
        return self.Key(sorted(below), self.folders.get(folder, {}))

    def QueryInfoKey(self, key: Key) -> tuple[int, int, int]:
        return len(key.below), len(key.values), 0

    def EnumKey(self, key: Key, index: int) -> str:
        return key.below[index]

    def QueryValueEx(self, key: Key, name: str) -> tuple[Any, int]:
        if name not in key.values:
            raise FileNotFoundError(2, name)
        return key.values[name], 11


BOOTED_AT = 1_700_000_000.0
NOW = 133_444_736_000_000_000 + 10_000_000  # a second after the machine started, in 100 ns since 1601
IN_USE = {"LastUsedTimeStart": NOW, "LastUsedTimeStop": 0}
STOPPED = {"LastUsedTimeStart": NOW, "LastUsedTimeStop": NOW + 5}


class TestWindows:
    def probe(self, registry: Registry, state: int = 0, *, status: int = 0) -> WindowsAttention:
        def power_information(level: int, nothing: None, size: Any, state_at: Any, state_size: Any) -> int:
            assert (level, nothing, size.value, state_size.value) == (16, None, 0, 4)
            assert isinstance(state_at._obj, ctypes.c_uint32)
            state_at._obj.value = state
            return status

        powrprof = SimpleNamespace(CallNtPowerInformation=power_information)
        return WindowsAttention(SimpleNamespace(powrprof=powrprof), registry, BOOTED_AT)

    @pytest.mark.parametrize(
        ("state", "status", "who"), [(0, 0, ""), (1, 0, ""), (2, 0, SOMEBODY), (0x80000003, 0, SOMEBODY), (2, -1, None)]
    )
    def test_somebody_keeps_the_display_awake(self, state: int, status: int, who: str | None) -> None:
        probe = self.probe(Registry(), state, status=status)
        probe.watch(lambda: None)
        assert probe.read() == Attention(inhibitor=who)

    @pytest.mark.parametrize(
        ("folders", "call"),
        [
            ([("microphone\\Store.App_8we", STOPPED), ("webcam\\Store.App_8we", STOPPED)], ""),
            ([("microphone\\Store.App_8we", IN_USE)], "microphone"),
            ([("microphone\\NonPackaged\\C:#talk.exe", IN_USE)], "microphone"),
            ([("microphone", {}), ("webcam\\NonPackaged\\C:#talk.exe", IN_USE)], "camera"),
            ([("webcam\\Store.App_8we", {**IN_USE, "LastUsedTimeStart": NOW - 20_000_000})], ""),
            ([("webcam\\Store.App_8we", {"Value": "Allow"})], ""),
            ([("webcam\\Store.App_8we", {**IN_USE, "LastUsedTimeStart": b"?"})], ""),
            ([], None),
        ],
    )
    def test_a_device_that_a_program_did_not_stop_is_a_call(
        self, folders: list[tuple[str, dict[str, Any]]], call: str | None
    ) -> None:
        assert self.probe(Registry(*folders)).read() == Attention(inhibitor="", call=call)


def test_without_a_bus_the_rest_is_known(no_bus: None, session: Bus, machine: Machine, inhibitors: Inhibitors) -> None:
    probe = LinuxAttention(inhibitors, GameMode(session), machine.calls)
    assert probe.read() == Attention(inhibitor=None, game_mode=None, call="")


def test_where_there_is_no_source_nothing_is_known() -> None:
    probe: AttentionProbe = NullAttention()
    probe.watch(lambda: None)
    assert probe.read() == Attention()


def test_this_system_has_a_source_with_a_name() -> None:
    assert host.attention_probe().name
