"""The tray as a program: one QApplication, what it owns, and how it ends.

The process has one Python thread and must keep it so: Python collects garbage in whichever thread allocates, and a Qt
object that is deleted outside its own thread takes the process down.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from PySide6.QtCore import QLibraryInfo, QMessageLogContext, QSocketNotifier, QTimer, QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QApplication

from gogrid_desktop.errors import GoGridError
from gogrid_desktop.paths import AppPaths
from gogrid_desktop.ui.agent_client import AgentClient
from gogrid_desktop.ui.agent_process import AgentProcess
from gogrid_desktop.ui.single import SingleInstance
from gogrid_desktop.ui.tray import Tray
from gogrid_desktop.ui.window import StatusWindow

log = logging.getLogger(__name__)

_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
}


def run_tray(paths: AppPaths, wait_for_tray_s: float) -> bool:
    """Run until the person quits. False when a tray runs already (it was told to show itself).

    Raises GoGridError where there is no display, or the other tray does not answer.
    """
    _require_display()
    qInstallMessageHandler(_log_qt)
    app = QApplication(sys.argv[:1])
    app.setApplicationName("gogrid")
    app.setApplicationDisplayName("GoGrid")
    app.setDesktopFileName("gogrid-desktop")
    app.setQuitOnLastWindowClosed(False)
    single = SingleInstance(paths)
    if not single.claim():
        return False
    window = StatusWindow()
    tray = Tray(AgentClient(paths.endpoint_file), AgentProcess(paths.state / "agent.log"), window, wait_for_tray_s)
    single.showRequested.connect(window.come_up)
    # Not quit(): that asks the windows first, and ours refuses to close. From the loop: exit() does nothing before it.
    tray.left.connect(lambda: QTimer.singleShot(0, lambda: app.exit(0)))
    signals = EndOnSignals(tray.leave)
    tray.start()
    try:
        app.exec()
    finally:
        signals.close()
        single.release()
    return True


class EndOnSignals:
    """Calls `leave` on SIGINT or SIGTERM, until `close`.

    Python runs its handlers only when Qt returns to it: the wake-up socket makes Qt do so. This object keeps that
    socket open; were it closed, the wake-up byte would go to whatever file takes over its number.
    """

    def __init__(self, leave: Callable[[], None]) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._notifier = QSocketNotifier(self._reader.fileno(), QSocketNotifier.Type.Read)
        self._notifier.activated.connect(self._drain)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

        def ended(_number: int, _frame: FrameType | None) -> None:
            leave()

        self._before = {number: signal.signal(number, ended) for number in (signal.SIGINT, signal.SIGTERM)}

    def close(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        self._notifier.setEnabled(False)
        self._reader.close()
        self._writer.close()

    def _drain(self) -> None:
        self._reader.recv(64)


def _require_display() -> None:
    """Qt aborts the process where it finds no display; say it in words before."""
    plugins = Path(QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath)) / "platforms"
    needs_server = (plugins / "libqxcb.so").exists()  # Qt for Linux; elsewhere the system is the display
    named = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    if needs_server and not named:
        raise GoGridError(
            "There is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set).",
            "On a server, run the agent without a tray: gogrid agent run",
        )


def _log_qt(kind: QtMsgType, _where: QMessageLogContext, message: str) -> None:
    if kind is QtMsgType.QtFatalMsg:
        # Qt would abort with a core dump; the message names the missing library or display.
        sys.stderr.write(f"The tray cannot start: {message.strip()}\nWithout a tray, run: gogrid agent run\n")
        sys.stderr.flush()
        os._exit(GoGridError.exit_code)
    log.log(_LEVELS.get(kind, logging.ERROR), "Qt: %s", message)
