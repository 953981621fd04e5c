"""Whether somebody talks on Linux: a microphone that records, a camera that is open.

Source: ALSA's /proc/asound (Documentation/sound/designs/procfs), proc_pid_fd(5). ALSA's `owner_pid` says nothing of who
records where a sound server (PipeWire, PulseAudio) does it for all; it closes the microphone seconds after the last one
that records. What records all day, as a noise filter or an open mixer with a level meter, is a call here all day.
A Bluetooth headset is no device of ALSA and is not seen. Cameras are seen in this user's processes alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

#: All open files of this user are looked through at most so often.
CAMERA_EVERY_S = 10.0


class Calls:
    """`root`: where /proc and /dev are; `now`: monotonic, seconds."""

    def __init__(self, root: Path = Path("/"), now: Callable[[], float] = time.monotonic) -> None:
        self._processes = root / "proc"
        self._devices = root / "dev"
        self._now = now
        self._camera = False
        self._looked_at = -CAMERA_EVERY_S

    def read(self) -> str | None:
        """ "microphone", "camera" or, where neither is in use, ""; None without a /proc."""
        if not self._processes.is_dir():
            return None
        if self._records():
            return "microphone"
        now = self._now()
        if now - self._looked_at >= CAMERA_EVERY_S:
            self._looked_at = now
            self._camera = self._films()
        return "camera" if self._camera else ""

    def _records(self) -> bool:
        return any(
            _first_line(status) == "state: RUNNING" for status in self._processes.glob("asound/card*/pcm*c/sub*/status")
        )

    def _films(self) -> bool:
        cameras = {str(device) for device in self._devices.glob("video[0-9]*")}
        return bool(cameras) and any(file in cameras for file in self._open_files())

    def _open_files(self) -> Iterator[str]:
        for process in self._processes.iterdir():
            if process.name.isdecimal():
                yield from _open_files(process / "fd")


def _open_files(folder: Path) -> Iterator[str]:
    try:
        entries = list(folder.iterdir())
    except OSError:  # ended meanwhile, or another user's
        return
    for entry in entries:
        try:
            yield str(entry.readlink())
        except OSError:  # closed meanwhile
            continue


def _first_line(file: Path) -> str:
    try:
        return file.read_text(errors="replace").partition("\n")[0].strip()
    except OSError:  # unplugged
        return ""
