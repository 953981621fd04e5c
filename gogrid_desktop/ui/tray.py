"""The tray icon and its menu, and what ties it to agent and window.

A desktop may bring its tray late (at login) or never: the icon is made when a tray is there, and the window stands in
until then.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QElapsedTimer, QObject, QTimer, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QSystemTrayIcon

from gogrid_desktop.core.status import AgentState, AgentStatus
from gogrid_desktop.ipc.messages import Reply
from gogrid_desktop.ui.agent_client import AgentClient
from gogrid_desktop.ui.agent_process import AgentProcess
from gogrid_desktop.ui.icons import state_icon
from gogrid_desktop.ui.view import SNOOZE_S, Connection, Link, SnoozeAction, TrayView, tray_view
from gogrid_desktop.ui.window import StatusWindow

LOOK_FOR_TRAY_MS = 500


class Tray(QObject):
    """Signal `left()` once the person has quit and the agent that was ours has ended."""

    left = Signal()

    def __init__(
        self,
        client: AgentClient,
        process: AgentProcess,
        window: StatusWindow,
        wait_for_tray_s: float,
        now: Callable[[], float] = time.time,
        tray_available: Callable[[], bool] = QSystemTrayIcon.isSystemTrayAvailable,
    ) -> None:
        super().__init__()
        self.icon: QSystemTrayIcon | None = None
        self.view: TrayView | None = None
        self._client = client
        self._process = process
        self._window = window
        self._wait_for_tray_ms = wait_for_tray_s * 1000
        self._now = now
        self._tray_available = tray_available
        self._status: AgentStatus | None = None
        self._tried_to_start = False
        self._leaving = False
        self._waited = QElapsedTimer()
        self._look = QTimer(self, interval=LOOK_FOR_TRAY_MS)
        self._look.timeout.connect(self.look_for_tray)

        self.menu = QMenu()
        self.share = self.menu.addAction("Share my GPU")
        self.share.setCheckable(True)
        self.status_line = self.menu.addAction("")
        self.next_line = self.menu.addAction("")
        for line in (self.status_line, self.next_line):
            line.setEnabled(False)
        self.snooze = self.menu.addAction("")
        self.menu.addSeparator()
        self.quit = self.menu.addAction("")
        self.share.triggered.connect(self.set_sharing)
        self.snooze.triggered.connect(self.press_snooze)
        self.quit.triggered.connect(self.leave)

        window.shareToggled.connect(self.set_sharing)
        window.snoozeClicked.connect(self.press_snooze)
        window.quitClicked.connect(self.leave)
        client.statusChanged.connect(self._take_status)
        client.connectionChanged.connect(self._take_connection)
        client.replied.connect(self._take_reply)
        process.changed.connect(self.render)

    def start(self) -> None:
        """Show what is known, look for a tray and for the agent."""
        self.render()
        self._waited.start()
        self.look_for_tray()
        if self.icon is None:
            self._look.start()
        self._client.start()

    def look_for_tray(self) -> None:
        """Move into the tray when there is one; show the window when it was awaited long enough."""
        if self._tray_available():
            self._look.stop()
            self._move_in()
        elif not self._window.stands_in and self._waited.elapsed() >= self._wait_for_tray_ms:
            self._window.stands_in = True
            self._window.come_up()

    def set_sharing(self, on: bool) -> None:
        """The toggle: resume or pause; where no agent runs, start one."""
        if on and self.view is not None and self.view.share_starts_agent:
            self._process.start()
        elif on:
            self._client.resume()
        else:
            self._client.pause()
        self.render(again=True)  # a click has moved the check mark already: what is shown stays what is known

    def press_snooze(self) -> None:
        """Pause for an hour, or share again now, as the entry says."""
        if self.view is not None and self.view.snooze_action is SnoozeAction.RESUME:
            self._client.resume()
        else:
            self._client.pause(for_s=SNOOZE_S)

    def leave(self) -> None:
        """Go away at once for the eye; `left` follows when our own agent has ended. One that is not ours stays."""
        if self._leaving:
            return
        self._leaving = True
        self._look.stop()
        self._window.hide()
        if self.icon is not None:
            self.icon.hide()
        self._process.stop(ask=self._client.stop, when_stopped=self._gone)

    def _gone(self) -> None:
        self._client.close()
        self.left.emit()

    def _move_in(self) -> None:
        self.icon = QSystemTrayIcon(self)
        self.icon.setContextMenu(self.menu)
        self.icon.activated.connect(self._clicked)
        self.render(again=True)
        self.icon.show()
        if self._window.stands_in:
            self._window.stands_in = False
            self._window.hide()

    def _clicked(self, how: QSystemTrayIcon.ActivationReason) -> None:
        if how is not QSystemTrayIcon.ActivationReason.Trigger:
            return
        if self._window.isVisible() and not self._window.isMinimized():
            self._window.put_away()
        else:
            self._window.come_up()

    def _take_status(self, status: AgentStatus) -> None:
        self._status = status
        self.render()

    def _take_connection(self, connection: Connection) -> None:
        if connection.link is not Link.CONNECTED:
            self._status = None
        if connection.link is Link.SEARCHING and not self._tried_to_start and not self._leaving:
            self._process.start()
        self._tried_to_start = True  # whichever way the first attempt went: later starts are the person's
        self.render()

    def _take_reply(self, reply: Reply) -> None:
        problem = "" if reply.ok else f"{reply.message} {reply.remedy}".strip()
        self._window.show_notice(problem)
        if problem and self.icon is not None:
            self.icon.showMessage("GoGrid", problem, state_icon(AgentState.NEEDS_YOU))
        self.render(again=True)

    def render(self, again: bool = False) -> None:
        """Show the view; only what differs is touched, unless `again`."""
        view = tray_view(self._status, self._client.connection, self._process.run, self._now())
        if view == self.view and not again:
            return
        self.view = view
        self._window.show_view(view)
        self.share.setChecked(view.share_checked)
        self.share.setEnabled(view.share_enabled)
        _set_text(self.status_line, view.status_line)
        _set_text(self.next_line, view.what_next)
        _set_text(self.snooze, view.snooze_text)
        self.snooze.setEnabled(view.snooze_enabled)
        _set_text(self.quit, view.quit_text)
        if self.icon is not None:
            self.icon.setIcon(state_icon(view.icon, view.snoozing))
            self.icon.setToolTip(view.tooltip)


def _set_text(action: QAction, text: str) -> None:
    action.setText(text.replace("&", "&&"))
    action.setVisible(bool(text))
