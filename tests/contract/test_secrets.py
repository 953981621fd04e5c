"""Every secret store keeps the same promises; the keyring's is held against keyrings that block, raise or are none."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fixtures_keyring import NAME
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.errors import KeyringLocked, PasswordDeleteError

from gogrid_desktop.errors import SecretStoreLocked, SecretStoreUnavailable
from gogrid_desktop.system import host
from gogrid_desktop.system.secrets import SecretStore
from gogrid_desktop.system.secrets.asked import AskedSecrets
from gogrid_desktop.system.secrets.either import EitherSecrets
from gogrid_desktop.system.secrets.file import FileSecrets
from gogrid_desktop.system.secrets.memory import MemorySecrets
from gogrid_desktop.system.secrets.system_keyring import KeyringSecrets

TOKEN = "ggn_the-secret-token"


class Working(KeyringBackend):
    priority = 0.5  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.kept:
            raise PasswordDeleteError("not there")
        del self.kept[service, username]


class Blocking(Working):
    """Waits at its prompt until somebody answers it."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = threading.Event()
        self.prompts = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.prompts += 1
        self.answered.wait()
        return super().get_password(service, username)


class Raising(Working):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def get_password(self, service: str, username: str) -> str | None:
        raise self.error

    def set_password(self, service: str, username: str, password: str) -> None:
        raise self.error


@pytest.fixture
def blocking() -> Iterator[Blocking]:
    backend = Blocking()
    yield backend
    backend.answered.set()


def with_backend(backend: KeyringBackend, limit_s: float = 5.0) -> KeyringSecrets:
    return KeyringSecrets(lambda: backend, limit_s)


@pytest.fixture
def in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process finds for a keyring."""
    here = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), here))))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", NAME)
    monkeypatch.setenv("KEYRING_FILE", str(tmp_path / "keyring.json"))


STORES: dict[str, Callable[[Path], SecretStore]] = {
    "memory": lambda folder: MemorySecrets(),
    "file": lambda folder: FileSecrets(folder / "state" / "secrets.json"),
    "keyring": lambda folder: with_backend(Working()),
    "keyring in a process": lambda folder: AskedSecrets(),
    "keyring or file": lambda folder: EitherSecrets(with_backend(Working()), FileSecrets(folder / "secrets.json")),
    "file for want of a keyring": lambda folder: EitherSecrets(
        with_backend(fail.Keyring()), FileSecrets(folder / "secrets.json")
    ),
}


@pytest.mark.parametrize("make", STORES.values(), ids=STORES)
class TestEveryStore:
    @pytest.fixture
    def store(self, make: Callable[[Path], SecretStore], tmp_path: Path, in_a_process: None) -> SecretStore:
        return make(tmp_path)

    def test_what_was_never_kept_is_not_there(self, store: SecretStore) -> None:
        assert store.get("node") is None

    def test_what_is_kept_is_found(self, store: SecretStore) -> None:
        store.set("node", TOKEN)
        store.set("other", "ünïcode \n and a line")
        assert store.get("node") == TOKEN
        assert store.get("other") == "ünïcode \n and a line"

    def test_a_later_secret_takes_the_place_of_an_earlier_one(self, store: SecretStore) -> None:
        store.set("node", "old")
        store.set("node", TOKEN)
        assert store.get("node") == TOKEN

    def test_what_is_deleted_is_gone_and_the_rest_is_not(self, store: SecretStore) -> None:
        store.set("node", TOKEN)
        store.set("other", "stays")
        store.delete("node")
        store.delete("node")
        assert store.get("node") is None
        assert store.get("other") == "stays"


def test_a_keyring_that_blocks_is_given_up_after_the_limit(blocking: Blocking) -> None:
    with pytest.raises(SecretStoreLocked, match="Unlock it"):
        with_backend(blocking, 0.05).get("node")


def test_a_keyring_that_blocks_is_asked_once_however_often_we_try(blocking: Blocking) -> None:
    store = with_backend(blocking, 0.05)
    for _ in range(3):
        with pytest.raises(SecretStoreLocked):
            store.get("node")
    assert blocking.prompts == 1
    blocking.answered.set()
    assert store.get("node") is None


def test_a_keyring_that_says_it_is_locked_is_locked() -> None:
    with pytest.raises(SecretStoreLocked):
        with_backend(Raising(KeyringLocked("locked"))).get("node")


def test_a_keyring_that_raises_is_none_and_its_message_goes_nowhere() -> None:
    store = with_backend(Raising(RuntimeError(f"could not store {TOKEN}")))
    with pytest.raises(SecretStoreUnavailable) as caught:
        store.set("node", TOKEN)
    assert TOKEN not in str(caught.value)
    assert caught.value.__suppress_context__
    assert "RuntimeError" in caught.value.message


@pytest.mark.parametrize(
    ("does", "raised"),
    [
        ("locked", SecretStoreLocked),
        ("hang", SecretStoreLocked),
        ("raise", SecretStoreUnavailable),
        ("die", SecretStoreUnavailable),
    ],
)
def test_a_keyring_in_a_process_fails_like_any_other(
    does: str, raised: type[Exception], in_a_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYRING_DOES", does)
    with pytest.raises(raised) as caught:
        AskedSecrets(limit_s=0.5 if does == "hang" else 20.0).get("node")
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("command", [("/nowhere/at/all",), (sys.executable, "-c", "print('[1]')")])
def test_a_process_that_cannot_ask_is_said(command: tuple[str, ...]) -> None:
    with pytest.raises(SecretStoreUnavailable):
        AskedSecrets(command, limit_s=20.0).get("node")


def test_asking_leaves_nothing_behind_in_the_one_who_asks(in_a_process: None) -> None:
    program = (
        "import sys; from gogrid_desktop.system import host; from pathlib import Path\n"
        "host.secret_store(Path('.'), allow_plaintext=False).get('node')\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('keyring', 'cryptography', 'secretstorage')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_finding_a_keyring_may_fail_too() -> None:
    def find() -> KeyringBackend:
        raise OSError("no bus")

    with pytest.raises(SecretStoreUnavailable):
        KeyringSecrets(find).get("node")


PlaintextKeyring = type("PlaintextKeyring", (Working,), {"__module__": "keyrings.alt.file"})


@pytest.mark.parametrize("backend", [fail.Keyring(), null.Keyring(), PlaintextKeyring()], ids=["fail", "null", "plain"])
def test_what_is_no_real_keyring_is_refused_with_the_way_out(backend: KeyringBackend) -> None:
    with pytest.raises(SecretStoreUnavailable) as caught:
        with_backend(backend).set("node", TOKEN)
    assert "--allow-plaintext-token" in caught.value.remedy
    assert "gogrid settings set secrets.allow_plaintext true" in caught.value.remedy


def test_the_file_is_for_its_owner_alone_and_whole(tmp_path: Path) -> None:
    file = tmp_path / "state" / "secrets.json"
    FileSecrets(file).set("node", TOKEN)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["secrets.json"]


@pytest.mark.parametrize("content", ["{cut off", '["a list"]', '{"node": 7}'])
def test_a_broken_file_is_named_and_left_as_it_is(content: str, tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(content)
    store = FileSecrets(file)
    for attempt in (lambda: store.get("node"), lambda: store.set("node", TOKEN)):
        with pytest.raises(SecretStoreUnavailable, match=r"secrets\.json"):
            attempt()
    assert file.read_text() == content


def test_without_leave_nothing_is_written_in_the_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    store = host.secret_store(tmp_path, allow_plaintext=False)
    with pytest.raises(SecretStoreUnavailable):
        store.set("node", TOKEN)
    assert list(tmp_path.iterdir()) == []


def test_the_keyring_is_preferred_to_the_file(tmp_path: Path) -> None:
    backend = Working()
    store = EitherSecrets(with_backend(backend), FileSecrets(tmp_path / "secrets.json"))
    store.set("node", TOKEN)
    assert TOKEN in backend.kept.values()
    assert list(tmp_path.iterdir()) == []


def test_a_secret_leaves_the_file_once_the_keyring_answers(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    EitherSecrets(with_backend(fail.Keyring()), FileSecrets(file)).set("node", TOKEN)
    store = EitherSecrets(with_backend(Working()), FileSecrets(file))
    assert store.get("node") == TOKEN
    store.set("node", TOKEN)
    assert json.loads(file.read_text()) == {}
    assert store.get("node") == TOKEN


def test_a_locked_keyring_does_not_look_like_an_empty_one(tmp_path: Path, blocking: Blocking) -> None:
    store = EitherSecrets(with_backend(blocking, 0.05), FileSecrets(tmp_path / "secrets.json"))
    with pytest.raises(SecretStoreLocked):
        store.get("node")
