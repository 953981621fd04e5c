"""A message bus of the test's own, and services on it that python-dbusmock plays."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jeepney import DBusAddress, MessageType, new_method_call
from jeepney.io.blocking import DBusConnection, open_dbus_connection

PATIENCE_S = 20.0
#: python-dbusmock comes with Debian's Python, not with ours.
PYTHON = "/usr/bin/python3"
MOCK = "org.freedesktop.DBus.Mock"

_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={folder}/bus</listen>
  <servicedir>{folder}</servicedir>
  <policy context="default">
    <allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/>
  </policy>
</busconfig>
"""


def _dbusmock_is_there() -> bool:
    if not (shutil.which("dbus-daemon") and Path(PYTHON).exists()):
        return False
    return subprocess.run([PYTHON, "-c", "import dbusmock"], stderr=subprocess.DEVNULL, check=False).returncode == 0


needs_bus = pytest.mark.skipif(not _dbusmock_is_there(), reason="dbus-daemon and python3-dbusmock are not installed")


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class Peer:
    """Another program on the bus."""

    def __init__(self, address: str) -> None:
        self.connection: DBusConnection = open_dbus_connection(address)

    def ask(self, name: str, path: str, interface: str, method: str, signature: str = "", *body: Any) -> Any:
        target = DBusAddress(path, bus_name=name, interface=interface)
        message = new_method_call(target, method, signature or None, body)
        reply = self.connection.send_and_get_reply(message, timeout=PATIENCE_S)
        assert reply.header.message_type is MessageType.method_return, reply.body
        return reply.body[0] if reply.body else None

    def has(self, name: str) -> bool:
        bus = "org.freedesktop.DBus"
        return bool(self.ask(bus, "/org/freedesktop/DBus", bus, "NameHasOwner", "s", name))

    def close(self) -> None:
        self.connection.close()


class Mock:
    """A service that python-dbusmock plays: what it answers is added to it from here."""

    def __init__(self, bus: PrivateBus, name: str, path: str, interface: str, process: subprocess.Popen[bytes]) -> None:
        self.name, self.path, self.interface = name, path, interface
        self._bus, self.process = bus, process

    def control(self, method: str, signature: str, *body: Any, path: str | None = None) -> Any:
        return self._bus.peer.ask(self.name, path or self.path, MOCK, method, signature, *body)

    def method(self, name: str, takes: str, gives: str, code: str, *, path: str | None = None) -> None:
        """`code`: Python; `args` are its arguments, `ret` what it answers."""
        self.control("AddMethod", "sssss", self.interface, name, takes, gives, code, path=path)

    def property(self, name: str, kind: str, value: Any) -> None:
        self.control("AddProperty", "ssv", self.interface, name, (kind, value))

    def update(self, path: str | None = None, interface: str | None = None, **properties: tuple[str, Any]) -> None:
        """Change properties, and have PropertiesChanged say so."""
        self.control("UpdateProperties", "sa{sv}", interface or self.interface, properties, path=path)

    def object(self, path: str, interface: str, properties: dict[str, Any], *methods: tuple[str, ...]) -> None:
        self.control("AddObject", "ssa{sv}a(ssss)", path, interface, properties, list(methods))

    def emit(self, signal: str, signature: str = "", *values: tuple[str, Any], path: str | None = None) -> None:
        self.control("EmitSignal", "sssav", self.interface, signal, signature, list(values), path=path)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert eventually(lambda: not self._bus.peer.has(self.name))


class PrivateBus:
    """`folder`: also where it looks for services that it may start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"unix:path={folder}/bus"
        (folder / "bus.conf").write_text(_CONFIGURATION.format(folder=folder))
        self._mocks: list[Mock] = []
        self.start()

    def start(self) -> None:
        read, write = os.pipe()
        command = ["dbus-daemon", f"--config-file={self.folder}/bus.conf", "--nofork", f"--print-address={write}"]
        self.process = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as ready:
            assert ready.readline(), "dbus-daemon does not start"
        self.peer = Peer(self.address)

    def mock(self, name: str, path: str, interface: str) -> Mock:
        return self._play(name, path, interface, [name, path, interface])

    def template(self, template: str, name: str, path: str, interface: str) -> Mock:
        return self._play(name, path, interface, ["--template", template])

    def _play(self, name: str, path: str, interface: str, arguments: list[str]) -> Mock:
        environment = {
            **os.environ,
            "DBUS_SESSION_BUS_ADDRESS": self.address,
            "DBUS_SYSTEM_BUS_ADDRESS": self.address,
        }
        environment.pop("PYTHONPATH", None)
        process = subprocess.Popen(
            [PYTHON, "-m", "dbusmock", *arguments],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        mock = Mock(self, name, path, interface, process)
        self._mocks.append(mock)
        assert eventually(lambda: self.peer.has(name)), f"python-dbusmock does not play {name}"
        return mock

    def kill(self) -> None:
        """End it and all services on it, leaving nothing that could be connected to."""
        self.peer.close()
        self.process.kill()
        self.process.wait()
        for mock in self._mocks:
            mock.process.kill()
            mock.process.wait()
        self._mocks.clear()
        (self.folder / "bus").unlink(missing_ok=True)


@contextmanager
def private_bus() -> Iterator[PrivateBus]:
    with tempfile.TemporaryDirectory(prefix="bus") as folder:  # the name of a socket has to be short
        bus = PrivateBus(Path(folder))
        try:
            yield bus
        finally:
            bus.kill()


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateBus]:
    """Session bus and system bus in one."""
    with private_bus() as it:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", it.address)
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", it.address)
        yield it


@pytest.fixture
def no_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
