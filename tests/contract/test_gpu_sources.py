"""GPUs of AMD and their users in trees as the kernel lays them out; Windows and macOS against faked calls."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gogrid_desktop.system.gpu import Gpu, GpuProcess, GpuReading
from gogrid_desktop.system.gpu.amdgpu import AmdGpus
from gogrid_desktop.system.gpu.fdinfo import SEARCH_EVERY_S, FdInfo
from gogrid_desktop.system.gpu.linux import AGAIN_S, LinuxGpus
from gogrid_desktop.system.gpu.macos import MacGpus
from gogrid_desktop.system.gpu.windows import WindowsGpus
from gogrid_desktop.system.gpu.windows_pdh import ENGINES, MEMORY, PDH_MORE_DATA, CounterItem, PdhGpus

GIB, MIB = 2**30, 2**20
CARD, OTHER = "0000:03:00.0", "0000:04:00.0"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Machine:
    """/sys and /proc."""

    def __init__(self, root: Path) -> None:
        self.sys, self.proc, self.clock = root / "sys", root / "proc", Clock()

    def put(self, file: Path, text: object) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def card(self, number: int, pci: str = CARD, *, enabled: str = "enabled", **files: object) -> None:
        device = self.sys / "devices" / pci
        told = {"mem_info_vram_total": 8 * GIB, "mem_info_vram_used": GIB, "gpu_busy_percent": 40, **files}
        for name, text in told.items():
            self.put(device / name.replace("__", "/"), text)
        card = self.sys / f"class/drm/card{number}"
        self.put(card / f"card{number}-DP-1/enabled", enabled)
        (self.sys / f"class/drm/card{number}-DP-1").mkdir(exist_ok=True)  # a link beside it on a real machine
        if not (card / "device").exists():
            (card / "device").symlink_to(device)

    def client(self, pid: int, descriptor: int, number: int, ns: int = 0, *, pci: str = CARD, more: str = "") -> None:
        """A process that has a GPU open, and how long that was busy for it on its graphics engine."""
        link = self.proc / str(pid) / "fd" / str(descriptor)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to("/dev/dri/renderD128")
        told = f"pos:\t0\ndrm-driver:\tamdgpu\ndrm-client-id:\t{number}\ndrm-pdev:\t{pci}\n{more}"
        told += f"drm-engine-gfx:\t{ns} ns\n"
        self.put(self.proc / str(pid) / "fdinfo" / str(descriptor), told)

    def users(self) -> FdInfo:
        return FdInfo(self.proc, self.clock)

    def amd(self) -> AmdGpus:
        return AmdGpus(self.sys, self.proc, self.clock)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


class TestFdInfo:
    def test_the_use_is_that_between_two_readings(self, machine: Machine) -> None:
        users = machine.users()
        machine.client(41, 5, 1, 10**9, more="drm-memory-vram:\t2048 KiB\n")
        assert users.read() == {CARD: (GpuProcess(41, 2 * MIB, None),)}
        machine.client(41, 5, 1, 10**9 + 125_000_000, more="drm-memory-vram:\t3 MiB\n")
        machine.clock.now += 0.25
        assert users.read() == {CARD: (GpuProcess(41, 3 * MIB, 0.5),)}

    def test_a_client_counts_once_however_often_it_is_open(self, machine: Machine) -> None:
        users = machine.users()
        for pid, descriptor in ((41, 5), (41, 6), (42, 5)):
            machine.client(pid, descriptor, 1, 0, more="drm-total-vram:\t1 MiB\n")
        machine.client(41, 7, 2, 0, more="drm-total-vram:\t1 MiB\n")
        users.read()
        for pid, descriptor, number in ((41, 5, 1), (41, 6, 1), (42, 5, 1), (41, 7, 2)):
            machine.client(pid, descriptor, number, 100_000_000, more="drm-total-vram:\t1 MiB\n")
        machine.clock.now += 1
        ((first, *others),) = users.read().values()
        assert not others and (first.used_bytes, first.utilisation) == (2 * MIB, pytest.approx(0.2))

    def test_the_same_number_on_another_card_is_another_client(self, machine: Machine) -> None:
        machine.client(41, 5, 1)
        machine.client(42, 5, 1, pci=OTHER)
        found = machine.users().read()
        assert [process.pid for process in (*found[CARD], *found[OTHER])] == [41, 42]

    def test_the_engine_that_is_used_most_counts_by_its_capacity(self, machine: Machine) -> None:
        users = machine.users()
        engines = "drm-engine-dec:\t{0} ns\ndrm-engine-capacity-dec:\t2\ndrm-engine-compute:\t{1} ns\n"
        machine.client(41, 5, 1, 0, more=engines.format(0, 0))
        users.read()
        machine.client(41, 5, 1, 100_000_000, more=engines.format(900_000_000, 300_000_000))
        machine.clock.now += 1
        assert users.read()[CARD][0].utilisation == pytest.approx(0.45)

    def test_a_counter_that_goes_back_stands_still_until_it_has_caught_up(self, machine: Machine) -> None:
        users, shares = machine.users(), []
        for ns in (500_000_000, 400_000_000, 500_000_000, 600_000_000):
            machine.client(41, 5, 1, ns)
            shares.append(users.read()[CARD][0].utilisation)
            machine.clock.now += 1
        assert shares == [None, 0.0, 0.0, pytest.approx(0.1)]

    def test_no_process_uses_more_than_all(self, machine: Machine) -> None:
        users = machine.users()
        machine.client(41, 5, 1, 0)
        users.read()
        machine.client(41, 5, 1, 10**12)
        machine.clock.now += 1
        assert users.read()[CARD][0].utilisation == 1.0

    @pytest.mark.parametrize(
        ("memory", "used"),
        [
            ("drm-resident-vram:\t1 MiB\ndrm-total-vram:\t9 MiB\n", MIB),
            ("drm-resident-vram0:\t1 MiB\ndrm-resident-vram1:\t2 MiB\n", 3 * MIB),
            ("drm-total-local0:\t77\n", 77),
            ("drm-memory-gtt:\t1 MiB\n", None),
            ("drm-memory-vram:\ta lot\n", None),
        ],
    )
    def test_memory_is_what_lies_on_the_card(self, memory: str, used: int | None, machine: Machine) -> None:
        machine.client(41, 5, 1, more=memory)
        assert machine.users().read()[CARD][0].used_bytes == used

    def test_one_that_begins_later_is_found_and_one_that_ended_is_gone(self, machine: Machine) -> None:
        users = machine.users()
        machine.client(41, 5, 1)
        users.read()
        machine.client(42, 5, 2, 10**9)
        (machine.proc / "41/fdinfo/5").unlink()
        machine.clock.now += SEARCH_EVERY_S
        assert users.read() == {CARD: (GpuProcess(42, None, 0.0),)}

    def test_other_files_and_other_peoples_processes_are_passed_over(self, machine: Machine) -> None:
        (machine.proc / "43").mkdir(parents=True)  # its descriptors are not for us to see
        link = machine.proc / "44/fd/1"
        link.parent.mkdir(parents=True)
        link.symlink_to("/dev/null")
        machine.put(machine.proc / "uptime", "1 2")
        assert machine.users().read() == {}


class TestAmd:
    def test_a_card_is_told_with_all_that_the_kernel_knows(self, machine: Machine) -> None:
        sensors = {
            "temp1_input": 71_000,
            "temp1_crit": 100_000,
            "power1_average": 120_500_000,
            "energy1_input": 7_000_000,
        }
        sensors |= {"fan1_input": 900, "fan1_max": 3000}
        machine.card(0, product_name="Radeon", **{f"hwmon__hwmon3__{name}": value for name, value in sensors.items()})
        machine.client(41, 5, 1, more="drm-memory-vram:\t5 MiB\n")
        (gpu,) = machine.amd().read(2)
        assert gpu == Gpu(
            index=2,
            name="Radeon",
            driver="amdgpu",
            vram_total_bytes=8 * GIB,
            vram_used_bytes=GIB,
            vram_free_bytes=7 * GIB,
            utilisation=0.4,
            screen=True,
            processes=(GpuProcess(41, 5 * MIB, None),),
            sampled_at=100.0,
            temperature_c=71.0,
            slowdown_c=100.0,
            power_w=120.5,
            fan=0.3,
            energy_j=7.0,
            pci=CARD,
        )

    @pytest.mark.parametrize(
        ("files", "what", "value"),
        [
            ({"gpu_busy_percent": "?"}, "utilisation", None),
            ({"gpu_busy_percent": 120}, "utilisation", 1.0),
            ({"hwmon__hwmon0__temp1_input": 900_000}, "temperature_c", None),
            ({"hwmon__hwmon0__temp1_input": -5}, "temperature_c", None),
            ({"hwmon__hwmon0__pwm1": 51}, "fan", 0.2),
            ({"hwmon__hwmon0__power1_input": 5_000_000}, "power_w", 5.0),
            ({"enabled": "disabled"}, "screen", False),
            ({"mem_info_vram_used": 9 * GIB}, "vram_free_bytes", 0),
            ({}, "name", f"AMD GPU {CARD}"),
        ],
    )
    def test_what_is_not_told_or_makes_no_sense_is_unknown(
        self, files: dict[str, Any], what: str, value: object, machine: Machine
    ) -> None:
        machine.card(0, **files)
        (gpu,) = machine.amd().read(0)
        assert getattr(gpu, what) == value

    def test_a_card_that_sleeps_is_not_asked(self, machine: Machine) -> None:
        machine.card(0, power__runtime_status="suspended")
        (machine.sys / "devices" / CARD / "gpu_busy_percent").unlink()
        (gpu,) = machine.amd().read(0)
        assert (gpu.utilisation, gpu.processes, gpu.vram_free_bytes) == (0.0, (), 8 * GIB)

    def test_cards_of_others_and_of_none_are_passed_over(self, machine: Machine) -> None:
        assert machine.amd().read(0) == ()
        machine.card(0, OTHER, mem_info_vram_total="")
        machine.card(1)
        assert [gpu.pci for gpu in machine.amd().read(0)] == [CARD]


class Nvidia:
    name = "test"

    def __init__(self, reading: GpuReading) -> None:
        self.reading, self.asked = reading, 0

    def read(self) -> GpuReading:
        self.asked += 1
        return self.reading


GEFORCE = Gpu(0, "A", "1", GIB, 0, GIB, 0.0, "GPU-1")


class TestLinux:
    def test_all_cards_are_told_each_with_a_number_that_stays_its_own(self, machine: Machine) -> None:
        machine.card(0)
        nvidia = Nvidia(GpuReading((GEFORCE,)))
        both = LinuxGpus(nvidia, machine.amd(), clock=machine.clock)
        assert [(gpu.index, gpu.driver) for gpu in both.read().gpus] == [(0, "1"), (1, "amdgpu")]
        nvidia.reading = GpuReading(problem="lost")
        reading = both.read()
        assert [(gpu.index, gpu.driver) for gpu in reading.gpus] == [(1, "amdgpu")] and not reading.problem

    def test_a_driver_that_is_not_there_is_looked_for_seldom(self, machine: Machine) -> None:
        nvidia = Nvidia(GpuReading(problem="none"))
        both = LinuxGpus(nvidia, machine.amd(), clock=machine.clock)
        assert [both.read().problem for _ in range(5)] == ["none"] * 5
        assert nvidia.asked == 1
        nvidia.reading = GpuReading((GEFORCE,))
        machine.clock.now += AGAIN_S
        assert both.read().gpus == (GEFORCE,)


class Function:
    """A C function that checks what it is given against what was declared."""

    def __init__(self, does: Callable[..., Any]) -> None:
        self._does = does
        self.argtypes: tuple[Any, ...] = ()
        self.restype: Any = ctypes.c_int

    def __call__(self, *given: Any) -> Any:
        assert len(given) == len(self.argtypes)
        for value, kind in zip(given, self.argtypes, strict=True):
            kind.from_param(value)
        return self._does(*given)


class Pdh(SimpleNamespace):
    """pdh.dll: `told` are instances and values by counter; `grows`: how often it then has more than it said."""

    def __init__(self, told: dict[str, dict[str, float]], *, opens: int = 0, grows: int = 0, status: int = 0) -> None:
        self.told, self.grows, self.status = told, grows, status
        self.added: list[str] = []
        self._names: list[Any] = []
        super().__init__(
            PdhOpenQueryW=Function(lambda *_: opens),
            PdhAddEnglishCounterW=Function(self._add),
            PdhCollectQueryData=Function(lambda _: 0),
            PdhGetFormattedCounterArrayW=Function(self._array),
        )

    def _add(self, _query: object, path: str, _data: int, counter: Any) -> int:
        if path not in self.told:
            return 0xC0000BB8  # PDH_CSTATUS_NO_OBJECT: a Windows without it
        self.added.append(path)
        counter._obj.value = len(self.added)
        return 0

    def _array(self, counter: Any, form: int, size: Any, count: Any, buffer: Any) -> int:
        path = self.added[counter.value - 1]
        instances = self.told[path]
        needed = len(instances) * ctypes.sizeof(CounterItem)
        if buffer is None or size._obj.value < needed or self.grows:
            self.grows -= 1 if buffer is not None and self.grows else 0
            size._obj.value, count._obj.value = needed, len(instances)
            return PDH_MORE_DATA
        items = ctypes.cast(buffer, ctypes.POINTER(CounterItem))
        for number, (name, value) in enumerate(instances.items()):
            items[number].name = name
            items[number].counter.status = self.status
            if path == ENGINES:
                assert form == 0x8200  # a double, not cut at 100 %
                items[number].counter.value.double = value
            else:
                assert form == 0x400
                items[number].counter.value.large = int(value)
        count._obj.value = len(instances)
        return 0


def engine(pid: int, number: int, luid: str = "0x00000000_0x0000C2F1", kind: str = "3D") -> str:
    return f"pid_{pid}_luid_{luid}_phys_0_eng_{number}_engtype_{kind}"


COUNTERS = {
    ENGINES: {engine(41, 0): 30.0, engine(41, 1): 50.0, engine(42, 0): 140.0, "odd": 99.0},
    MEMORY: {"pid_41_luid_0x00000000_0x0000C2F1_phys_0": 5 * MIB, "pid_41_luid_0x00000000_0x0000D000_phys_0": MIB},
}


class TestWindows:
    def test_layouts_are_those_of_pdh_h(self) -> None:
        assert (ctypes.sizeof(CounterItem), CounterItem.counter.offset) == (24, 8)

    def test_the_engine_used_most_counts_and_memory_adds_up(self) -> None:
        assert PdhGpus(Pdh(COUNTERS)).read() == ({41: 0.5, 42: 1.0}, {41: 6 * MIB})

    def test_processes_that_begin_while_it_is_asked_are_asked_for_again(self) -> None:
        assert PdhGpus(Pdh(COUNTERS, grows=2)).read()[0] == {41: 0.5, 42: 1.0}

    @pytest.mark.parametrize("pdh", [Pdh({}), Pdh(COUNTERS, opens=5), Pdh(COUNTERS, status=5), Pdh({ENGINES: {}})])
    def test_what_windows_does_not_tell_is_empty(self, pdh: Pdh) -> None:
        assert PdhGpus(pdh).read() == ({}, {})

    def test_windows_adds_what_the_driver_does_not_tell(self) -> None:
        gpu = Gpu(0, "A", "1", GIB, 0, GIB, 0.0, "GPU-1", processes=(GpuProcess(41, None), GpuProcess(43, 7, 0.1)))
        (told,) = WindowsGpus(Nvidia(GpuReading((gpu,))), PdhGpus(Pdh(COUNTERS))).read().gpus
        assert told.processes == (GpuProcess(41, 6 * MIB, 0.5), GpuProcess(43, 7, 0.1))

    def test_without_counters_it_stays_unknown_and_where_all_is_told_none_is_asked(self) -> None:
        gpu = Gpu(0, "A", "1", GIB, 0, GIB, 0.0, "GPU-1", processes=(GpuProcess(41, None),))
        reading = GpuReading((gpu,))
        assert WindowsGpus(Nvidia(reading), PdhGpus(Pdh({}))).read() == reading
        pdh = Pdh(COUNTERS)
        WindowsGpus(Nvidia(GpuReading((GEFORCE,))), PdhGpus(pdh)).read()
        assert not pdh.added


class Registry:
    """IOKit and CoreFoundation over Python values: a reference is a number, and must be released by who made it."""

    def __init__(self, *services: dict[str, Any]) -> None:
        self._services, self._left = services, list(range(1, len(services) + 1))
        self._things: dict[int, Any] = {}
        self.held: list[int] = []
        self.io = SimpleNamespace(
            IOServiceMatching=Function(lambda name: 7 if name == b"IOAccelerator" else None),
            IOServiceGetMatchingServices=Function(self._match),
            IOIteratorNext=Function(lambda _: self._left.pop(0) if self._left else 0),
            IORegistryEntryCreateCFProperty=Function(self._create),
            IOObjectRelease=Function(lambda number: self.held.remove(getattr(number, "value", number)) or 0),
        )
        kinds = {dict: 1, int: 2, str: 3}
        self.cf = SimpleNamespace(
            CFStringCreateWithCString=Function(lambda _, text, __: self._made(text.decode(), owned=True)),
            CFDictionaryGetValue=Function(lambda it, key: self._get(it, key)),
            CFNumberGetValue=Function(self._number),
            CFStringGetCString=Function(self._text),
            CFGetTypeID=Function(lambda it: kinds[type(self._things[it])]),
            CFNumberGetTypeID=Function(lambda: kinds[int]),
            CFDictionaryGetTypeID=Function(lambda: kinds[dict]),
            CFStringGetTypeID=Function(lambda: kinds[str]),
            CFRelease=Function(lambda it: self.held.remove(it)),
        )

    def _made(self, thing: Any, *, owned: bool) -> int:
        number = 1000 + len(self._things)
        self._things[number] = thing
        if owned:
            self.held.append(number)
        return number

    def _match(self, _port: int, matching: int, iterator: Any) -> int:
        assert matching == 7
        iterator._obj.value = 500
        self.held += [500, *self._left]
        return 0

    def _create(self, service: int, key: int, _allocator: None, _options: int) -> int | None:
        thing = self._services[service - 1].get(self._things[key])
        return None if thing is None else self._made(thing, owned=True)

    def _get(self, dictionary: int, key: int) -> int | None:
        thing = self._things[dictionary].get(self._things[key])
        return None if thing is None else self._made(thing, owned=False)

    def _number(self, it: int, kind: int, into: Any) -> bool:
        assert kind == 4
        into._obj.value = self._things[it]
        return True

    def _text(self, it: int, into: Any, size: int, _encoding: int) -> bool:
        into.value = self._things[it].encode()[: size - 1]
        return True


def mac(*services: dict[str, Any]) -> GpuReading:
    registry = Registry(*services)
    reading = MacGpus(registry.io, registry.cf, 16 * GIB).read()
    assert not registry.held, "everything was released"
    return reading


class TestMac:
    def test_a_gpu_is_told_with_its_use_and_its_memory(self) -> None:
        statistics = {"Device Utilization %": 37, "In use system memory": 3 * GIB, "Tiler Utilization %": 90}
        (gpu,) = mac({"model": "Apple M2", "PerformanceStatistics": statistics}).gpus
        assert gpu == Gpu(0, "Apple M2", "macOS", 16 * GIB, 3 * GIB, 13 * GIB, 0.37)

    @pytest.mark.parametrize(
        ("statistics", "share"),
        [({"Device Utilization %": 130}, 1.0), ({"Device Utilization %": -1}, None), ({}, None)],
    )
    def test_use_that_is_not_told_or_makes_no_sense_is_unknown(
        self, statistics: dict[str, int], share: float | None
    ) -> None:
        (gpu,) = mac({"PerformanceStatistics": {"In use system memory": 1, **statistics}}).gpus
        assert (gpu.utilisation, gpu.name) == (share, "Apple GPU")

    @pytest.mark.parametrize(
        "services",
        [(), ({},), ({"PerformanceStatistics": 5},), ({"PerformanceStatistics": {"In use system memory": "much"}},)],
    )
    def test_without_one_that_tells_there_is_none(self, services: tuple[dict[str, Any], ...]) -> None:
        reading = mac(*services)
        assert (reading.gpus, reading.problem) == ((), "macOS tells of no GPU.")
