"""Whether the network costs by the byte: NetworkManager as python-dbusmock plays it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fixtures_dbus import Mock, PrivateBus, bus, eventually, needs_bus, no_bus

from gogrid_desktop.system import host
from gogrid_desktop.system.dbus import Bus
from gogrid_desktop.system.network import NetworkProbe
from gogrid_desktop.system.network.network_manager import NetworkManager
from gogrid_desktop.system.network.null import NullNetwork

__all__ = ["bus", "no_bus"]

NAME, PATH = "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager"


@pytest.fixture
def manager(bus: PrivateBus) -> Mock:
    return bus.template("networkmanager", NAME, PATH, NAME)


@pytest.fixture
def probe() -> Iterator[NetworkManager]:
    system = Bus("SYSTEM")
    yield NetworkManager(system)
    system.close()


@needs_bus
class TestNetworkManager:
    @pytest.mark.parametrize(
        ("said", "metered"),
        [
            (("u", 0), None),
            (("u", 1), True),
            (("u", 2), False),
            (("u", 3), True),
            (("u", 4), False),
            (("u", 5), None),
            (("b", True), None),
        ],
    )
    def test_what_it_says_is_read(
        self, said: tuple[str, Any], metered: bool | None, manager: Mock, probe: NetworkManager
    ) -> None:
        manager.property("Metered", *said)
        assert probe.metered() is metered

    def test_another_network_is_told_at_once(self, manager: Mock, probe: NetworkManager) -> None:
        manager.property("Metered", "u", 4)
        changed = threading.Event()
        probe.watch(changed.set)
        assert probe.metered() is False
        changed.clear()
        manager.update(Metered=("u", 3))
        assert changed.wait(20.0)
        assert probe.metered() is True

    def test_it_is_unknown_while_it_is_away(self, manager: Mock, probe: NetworkManager) -> None:
        manager.property("Metered", "u", 1)
        assert probe.metered() is True
        manager.end()
        assert eventually(lambda: probe.metered() is None)


def test_without_a_bus_it_is_unknown(no_bus: None, probe: NetworkManager) -> None:
    assert probe.metered() is None


def test_where_there_is_no_source_nothing_is_known() -> None:
    probe: NetworkProbe = NullNetwork()
    probe.watch(lambda: None)
    assert probe.metered() is None


def test_this_system_has_a_source_with_a_name() -> None:
    assert host.network_probe().name
