"""One tray per user: the second one asks the first to show itself, and leaves."""

from __future__ import annotations

from filelock import FileLock, Timeout
from PySide6.QtCore import QObject, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

from gogrid_desktop.errors import GoGridError
from gogrid_desktop.paths import AppPaths, private_dir

ANSWER_MS = 3000


class SingleInstance(QObject):
    """Signal `showRequested()` when a second tray was started."""

    showRequested = Signal()

    def __init__(self, paths: AppPaths, parent: QObject | None = None) -> None:
        super().__init__(parent)
        folder = private_dir(paths.runtime)
        # As a path with forward slashes it is a socket file on POSIX, and a legal pipe name on Windows.
        self._name = (folder / "tray.sock").as_posix()
        self._lock = FileLock(folder / "tray.lock")
        self._server = QLocalServer(self)
        self._server.newConnection.connect(self._asked)

    def claim(self) -> bool:
        """True if this is the first; False when another runs, which was told to show itself.

        Raises GoGridError when the other does not answer, or the address cannot be used.
        """
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            self._ask_first()
            return False
        QLocalServer.removeServer(self._name)  # left over from a crash: the lock is ours
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        if not self._server.listen(self._name):
            self._lock.release()
            raise GoGridError(
                f"The tray cannot listen at {self._name}: {self._server.errorString()}.",
                "Its path may be too long (104 bytes); choose a shorter GOGRID_HOME.",
            )
        return True

    def release(self) -> None:
        """Let the next one be the first."""
        self._server.close()
        self._lock.release()

    def _ask_first(self) -> None:
        socket = QLocalSocket()
        socket.connectToServer(self._name)
        answered = socket.waitForConnected(ANSWER_MS) and socket.waitForReadyRead(ANSWER_MS)
        socket.abort()
        if not answered:
            raise GoGridError(
                "GoGrid's tray runs already, but does not answer.", "End that process, then start GoGrid again."
            )

    def _asked(self) -> None:
        while (visitor := self._server.nextPendingConnection()) is not None:
            visitor.disconnected.connect(visitor.deleteLater)
            visitor.write(b"shown\n")
            visitor.flush()
            visitor.disconnectFromServer()
            self.showRequested.emit()
