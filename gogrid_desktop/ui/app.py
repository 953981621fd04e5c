"""The tray as a program: one QApplication, what it owns, and how it ends."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    end_on_signals(tray.leave)
    tray.start()
    try:
        app.exec()
    finally:
        single.release()
    return True


def end_on_signals(leave: Callable[[], None]) -> QSocketNotifier:
    """Call `leave` on SIGINT or SIGTERM. Python sees a signal only when Qt returns to it: the wake-up makes it so."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    notifier = QSocketNotifier(reader.fileno(), QSocketNotifier.Type.Read, QApplication.instance())
    notifier.activated.connect(lambda: reader.recv(64))
    notifier.destroyed.connect(writer.close)  # keeps the pair alive as long as it is watched

    def ended(_number: int, _frame: Any) -> None:
        leave()

    signal.signal(signal.SIGINT, ended)
    signal.signal(signal.SIGTERM, ended)
    return notifier


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
